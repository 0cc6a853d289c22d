"""Reading settings: explicit values, then the environment, then `.env`, then `quintet.toml`, then defaults.

Everything that is wrong, over all sections and files, is reported in one `ConfigurationError`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import msgspec
from msgspec.structs import FieldInfo

from quintet._utils import is_secret_name, mask
from quintet.config.dotenv import read_dotenv
from quintet.config.settings import Settings
from quintet.config.text import WrongValue, describe, from_data, from_text, holds_secret, plain
from quintet.errors import ConfigurationError, Problem

S = TypeVar("S", bound=Settings)

#: Explicit values of a section: field names to values, or the section as a whole.
Override: TypeAlias = "Mapping[str, Any] | Settings"


class LoadedSettings(dict[type[Settings], Settings]):
    """Sections by their type: `loaded[MailSettings].host`."""

    __slots__ = ()

    if TYPE_CHECKING:  # the type of the value is the key

        def __getitem__(self, section: type[S], /) -> S: ...


def load_settings(
    *types: type[Settings],
    env: Mapping[str, str] | None = None,
    dotenv: Path | None = Path(".env"),
    toml: Path | None = Path("quintet.toml"),
    overrides: Mapping[type[Settings], Override] | None = None,
    complete: bool = False,
) -> LoadedSettings:
    """Read sections of settings.

    Args:
        types: the sections to read.
        env: the environment; the process's own when absent.
        dotenv: the `.env` file. It need not exist; None reads none.
        toml: the settings file. It need not exist; None reads none.
        overrides: explicit values, which come before all others.
        complete: `types` are all sections there are, so that another table in the settings file is an error.

    Raises:
        ConfigurationError: with every problem of every section and file.
    """
    problems: list[Problem] = []
    tables = _read_toml(toml, problems)
    reader = _Reader(os.environ if env is None else env, _read_dotenv(dotenv, problems), dotenv, toml, problems)
    loaded = LoadedSettings()
    owners: dict[str, type[Settings]] = {}
    for section in types:
        if owners.setdefault(section.__section__, section) is not section:
            problems.append(_twice(owners[section.__section__], section))
            continue
        value = reader.read_section(section, tables.get(section.__section__, {}), (overrides or {}).get(section, {}))
        if value is not None:
            loaded[section] = value
    if complete:
        problems += _unknown_names(tables, owners, str(toml), "section")
    if problems:
        raise ConfigurationError(problems)
    return loaded


class _Place(msgspec.Struct, frozen=True):
    """Where the fields of a struct are found."""

    #: The beginning of the names of variables, such as `MAIL_` or `MAIL_TLS__`.
    prefix: str
    #: The table of the settings file, such as `mail` or `mail.tls`.
    path: str
    #: What that table holds.
    table: Mapping[str, Any]
    #: The explicit values.
    explicit: Mapping[str, Any]

    def variable(self, field: FieldInfo) -> str:
        return self.prefix + field.encode_name.upper()


class _Found(msgspec.Struct, frozen=True):
    """A value as it was found."""

    value: Any
    where: str
    is_text: bool = False


class _Reader:
    """Reads structs from the sources, and collects problems."""

    def __init__(
        self,
        env: Mapping[str, str],
        dotenv: Mapping[str, str],
        dotenv_path: Path | None,
        toml_path: Path | None,
        problems: list[Problem],
    ) -> None:
        self._variables = ((env, "environment variable "), (dotenv, f"{dotenv_path}: "))
        self._toml_path = toml_path
        self._problems = problems

    def read_section(self, section: type[Settings], table: Any, explicit: Override) -> Settings | None:
        name = section.__section__
        if not name:
            self._problems.append(_nameless(section))
            return None
        if isinstance(explicit, Settings):
            return explicit
        if not self._is_table(table, name, f"{self._toml_path}: "):
            return None
        value = self._read_struct(section, _Place(name.upper() + "_", name, table, explicit))
        return cast("Settings | None", value)

    def _read_struct(self, tp: type[msgspec.Struct], place: _Place) -> msgspec.Struct | None:
        before = len(self._problems)
        fields = msgspec.structs.fields(tp)
        self._problems += _unknown_names(
            place.table, [field.encode_name for field in fields], f"{self._toml_path}: [{place.path}]", "key"
        )
        self._problems += _unknown_names(
            place.explicit, [field.name for field in fields], f"explicit values of [{place.path}]", "name"
        )
        values: dict[str, Any] = {}
        for field in fields:
            nested = _nested_struct(field.type)
            if nested is None:
                self._read_field(field, place, values)
            else:
                self._read_nested(field, nested, place, values)
        if len(self._problems) > before:
            return None
        try:
            return tp(**values)
        except ConfigurationError as exc:
            self._problems += exc.problems
        except (ValueError, TypeError) as exc:  # from a __post_init__
            self._problems.append(
                Problem(id="settings.value", where=f"settings [{place.path}]", message=mask(str(exc)))
            )
        return None

    def _read_field(self, field: FieldInfo, place: _Place, values: dict[str, Any]) -> None:
        found = self._find(field, place)
        if found is None:
            if field.required:
                self._problems.append(self._missing(field, place))
            return
        try:
            values[field.name] = (from_text if found.is_text else from_data)(found.value, field.type)
        except WrongValue as exc:
            self._problems.append(_wrong(field, found, str(exc)))

    def _read_nested(
        self, field: FieldInfo, nested: type[msgspec.Struct], place: _Place, values: dict[str, Any]
    ) -> None:
        explicit = place.explicit.get(field.name, {})
        if isinstance(explicit, nested) or explicit is None:
            values[field.name] = explicit
            return
        prefix, path = place.variable(field) + "__", f"{place.path}.{field.encode_name}"
        table = place.table.get(field.encode_name, {})
        if not self._is_table(table, path, f"{self._toml_path}: ") or not self._is_table(explicit, path, "explicit "):
            return
        is_set = explicit or field.encode_name in place.table
        if not is_set and not field.required and not self._has_variable(prefix):
            return
        value = self._read_struct(nested, _Place(prefix, path, table, explicit))
        if value is not None:
            values[field.name] = value

    def _find(self, field: FieldInfo, place: _Place) -> _Found | None:
        if field.name in place.explicit:
            return _Found(place.explicit[field.name], f"explicit value of [{place.path}] {field.name}")
        variable = place.variable(field)
        for source, label in self._variables:
            text = source.get(variable)
            # An empty variable is how shells and compose files say "not set", unless the type is text.
            if text is not None and (text.strip() or field.type is str):
                return _Found(text, label + variable, is_text=True)
        if field.encode_name in place.table:
            return _Found(place.table[field.encode_name], f"{self._toml_path}: [{place.path}] {field.encode_name}")
        return None

    def _has_variable(self, prefix: str) -> bool:
        return any(name.startswith(prefix) for source, _ in self._variables for name in source)

    def _is_table(self, table: Any, path: str, source: str) -> bool:
        if isinstance(table, Mapping):
            return True
        self._problems.append(
            Problem(
                id="settings.value",
                where=source + path,
                message=f"found {type(cast('object', table)).__name__}, expected a table of names and values",
                fix=f"write its keys below a line [{path}]",
            )
        )
        return False

    def _missing(self, field: FieldInfo, place: _Place) -> Problem:
        variable = place.variable(field)
        names = [name for source, _ in self._variables for name in source if name.startswith(place.prefix)]
        near = get_close_matches(variable, names[:1000], n=1, cutoff=0.8)
        return Problem(
            id="settings.missing",
            where=f"settings [{place.path}] {field.encode_name}",
            message=f"nothing found, expected {describe(field.type)}"
            + (f"; there is a variable {near[0]}: a slip of the pen?" if near else ""),
            fix=f"set {variable} in the environment or .env, or {field.encode_name} below [{place.path}] "
            f"in {self._toml_path or 'quintet.toml'}",
        )


def _nested_struct(tp: Any) -> type[msgspec.Struct] | None:
    tp = plain(tp)
    return tp if isinstance(tp, type) and issubclass(tp, msgspec.Struct) else None


def _wrong(field: FieldInfo, found: _Found, reason: str) -> Problem:
    if holds_secret(field.type) or is_secret_name(field.name):
        shown, reason = "a secret (not shown)", f"expected {describe(field.type)}"
    else:
        shown = mask(repr(found.value))
        shown = shown if len(shown) <= 100 else shown[:97] + "..."
    return Problem(
        id="settings.value",
        where=found.where,
        message=f"found {shown}, {reason}",
        fix=f"give {describe(field.type)}",
    )


def _unknown_names(found: Iterable[str], known: Iterable[str], where: str, what: str) -> list[Problem]:
    names = list(known)
    problems: list[Problem] = []
    for name in found:
        if name not in names:
            near = get_close_matches(name[:100], names, n=1)
            problems.append(
                Problem(
                    id="settings.unknown",
                    where=where,
                    message=f"there is no {what} {name[:100]!r}",
                    fix=f"did you mean {near[0]!r}?" if near else f"remove it; known are: {', '.join(sorted(names))}",
                )
            )
    return problems


def _nameless(section: type[Settings]) -> Problem:
    return Problem(
        id="settings.section",
        where=f"{section.__module__}.{section.__qualname__}",
        message="the class has no section",
        fix=f'declare it as class {section.__name__}(Settings, section="...")',
    )


def _twice(first: type[Settings], second: type[Settings]) -> Problem:
    return Problem(
        id="settings.section",
        where=f"{second.__module__}.{second.__qualname__}",
        message=f"the section {second.__section__!r} belongs to {first.__module__}.{first.__qualname__} already",
        fix="give one of them another section",
    )


def _read_dotenv(path: Path | None, problems: list[Problem]) -> dict[str, str]:
    text = _read_file(path, problems)
    if text is None:
        return {}
    values, wrong = read_dotenv(text, str(path))
    problems += wrong
    return values


def _read_toml(path: Path | None, problems: list[Problem]) -> dict[str, Any]:
    text = _read_file(path, problems)
    if text is None:
        return {}
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        problems.append(Problem(id="settings.file", where=str(path), message=f"not valid TOML: {exc}"))
        return {}


def _read_file(path: Path | None, problems: list[Problem]) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        reason = "not UTF-8"
    except OSError as exc:
        reason = exc.strerror or str(exc)
    problems.append(Problem(id="settings.file", where=str(path), message=f"the file cannot be read: {reason}"))
    return None
