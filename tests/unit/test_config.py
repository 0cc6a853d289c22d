from __future__ import annotations

import copy
import enum
import time
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from quintet.config import AppSettings, Secret, Settings, load_settings
from quintet.config.dotenv import read_dotenv
from quintet.config.text import WrongValue, describe, from_text
from quintet.errors import ConfigurationError, Problem


class Tls(Struct, kw_only=True, frozen=True):
    cert: Path
    key: Path | None = None


class MailSettings(Settings, section="mail"):
    host: str
    port: Annotated[int, Meta(ge=1, le=65535)] = 25
    password: Secret | None = None
    copies: tuple[str, ...] = ()
    timeout: timedelta = timedelta(seconds=10)
    tls: Tls | None = None


class CacheSettings(Settings, section="cache"):
    size: int
    kind: Literal["memory", "redis"] = "memory"


def load(*types: type[Settings], env: dict[str, str] | None = None, **options: Any) -> Any:
    return load_settings(*types, env=env or {}, **{"dotenv": None, "toml": None, **options})


def problems_of(*types: type[Settings], env: dict[str, str] | None = None, **options: Any) -> list[Problem]:
    with pytest.raises(ConfigurationError) as caught:
        load(*types, env=env, **options)
    return caught.value.problems


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return {"dotenv": tmp_path / ".env", "toml": tmp_path / "quintet.toml"}


def test_a_section_comes_from_the_environment() -> None:
    env = {"MAIL_HOST": "mx", "MAIL_PORT": "587", "MAIL_COPIES": "a, b,", "MAIL_TIMEOUT": "2.5", "OTHER": "x"}
    mail = load(MailSettings, env=env)[MailSettings]
    assert mail == MailSettings(host="mx", port=587, copies=("a", "b"), timeout=timedelta(seconds=2.5))


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAIL_HOST", "from-process")
    assert load_settings(MailSettings)[MailSettings].host == "from-process"


def test_explicit_beats_environment_beats_dotenv_beats_toml_beats_default(files: dict[str, Path]) -> None:
    files["dotenv"].write_text("MAIL_PORT=2\nMAIL_HOST=dotenv\nMAIL_COPIES=dotenv\n")
    files["toml"].write_text('[mail]\nport = 1\nhost = "toml"\ncopies = ["toml"]\npassword = "toml"\n')
    env = {"MAIL_PORT": "3", "MAIL_HOST": "env"}
    mail = load(MailSettings, env=env, overrides={MailSettings: {"port": 4}}, **files)[MailSettings]
    assert (mail.port, mail.host, mail.copies, mail.timeout) == (4, "env", ("dotenv",), timedelta(seconds=10))
    assert mail.password.reveal() == "toml"


def test_a_whole_section_can_be_given() -> None:
    given_section = MailSettings(host="x")
    assert load(MailSettings, overrides={MailSettings: given_section})[MailSettings] is given_section


def test_nested_structs_merge_their_sources(files: dict[str, Path]) -> None:
    files["toml"].write_text('[mail]\nhost = "x"\n[mail.tls]\ncert = "c.pem"\nkey = "k.pem"\n')
    mail = load(MailSettings, env={"MAIL_TLS__KEY": "other.pem"}, **files)[MailSettings]
    assert mail.tls == Tls(cert=Path("c.pem"), key=Path("other.pem"))
    assert load(MailSettings, env={"MAIL_HOST": "x"})[MailSettings].tls is None


def test_an_empty_variable_is_not_set_unless_the_type_is_text(files: dict[str, Path]) -> None:
    files["toml"].write_text('[mail]\nhost = "x"\nport = 7\n')
    mail = load(MailSettings, env={"MAIL_PORT": " ", "MAIL_HOST": ""}, **files)[MailSettings]
    assert (mail.host, mail.port) == ("", 7)


def test_every_problem_of_every_section_and_file_is_reported_at_once(files: dict[str, Path]) -> None:
    files["dotenv"].write_text("MAIL_PORT=99999\nnonsense\n")
    files["toml"].write_text('[mail]\nhots = "x"\n[cache]\nsize = "big"\nkind = "disk"\n')
    found = problems_of(MailSettings, CacheSettings, env={"MAIL_TIMEOUT": "soon"}, **files)
    texts = [str(problem) for problem in found]
    assert [problem.id for problem in found] == [
        "settings.file",
        "settings.unknown",
        "settings.missing",
        "settings.value",
        "settings.value",
        "settings.value",
        "settings.value",
    ]
    assert ".env:2" in texts[0]
    assert "[mail]" in texts[1]
    assert "'hots'" in texts[1]
    assert "did you mean 'host'?" in texts[1]
    assert "set MAIL_HOST" in texts[2]
    assert "MAIL_PORT" in texts[3]
    assert "'99999'" in texts[3]
    assert "<= 65535" in texts[3]
    assert "environment variable MAIL_TIMEOUT" in texts[4]
    assert "[cache] size" in texts[5]
    assert "expected `int`" in texts[5]
    assert "'memory', 'redis'" in texts[6]


def test_a_misspelt_variable_is_pointed_out_where_a_value_is_missing() -> None:
    [problem] = problems_of(MailSettings, env={"MAIL_HOTS": "x"})
    assert "MAIL_HOTS" in problem.message


def test_secrets_are_not_echoed(files: dict[str, Path]) -> None:
    class Service(Settings, section="service"):
        key: Secret
        password: Annotated[str, Meta(min_length=20)]
        mode: Literal["a"] = "a"
        url: Annotated[str, Meta(pattern="^https:")] = "https://x"

    files["toml"].write_text("[service]\nkey = 123456789\n")
    env = {"SERVICE_PASSWORD": "hunter2", "SERVICE_URL": "redis://joe:swordfish@host"}
    text = "\n".join(map(str, problems_of(Service, env=env, **files)))
    assert "123456789" not in text
    assert "hunter2" not in text
    assert "swordfish" not in text
    assert "SERVICE_PASSWORD" in text


def test_a_struct_can_check_its_fields_together() -> None:
    class Pair(Settings, section="pair"):
        low: int = 1
        high: int = 0

        def __post_init__(self) -> None:
            if self.high < self.low:
                raise ValueError("high is below low")

    [problem] = problems_of(Pair)
    assert problem.where == "settings [pair]"
    assert problem.message == "high is below low"


def test_broken_files_are_reported(files: dict[str, Path], tmp_path: Path) -> None:
    files["toml"].write_text("[mail\n")
    files["dotenv"].write_bytes(b"A=\xff\n")
    where = [problem.where for problem in problems_of(AppSettings, **files)]
    assert where == [str(files["toml"]), str(files["dotenv"])]
    assert problems_of(AppSettings, toml=tmp_path)[0].id == "settings.file"


def test_missing_files_are_fine(files: dict[str, Path]) -> None:
    assert load(AppSettings, **files)[AppSettings] == AppSettings()


def test_a_table_that_is_none_is_reported(files: dict[str, Path]) -> None:
    files["toml"].write_text("mail = 3\n")
    assert "[mail]" in problems_of(MailSettings, **files)[0].fix
    files["toml"].write_text('[mail]\nhost="x"\ntls="y"\n')
    assert "mail.tls" in problems_of(MailSettings, **files)[0].where
    assert "tls" in problems_of(MailSettings, overrides={MailSettings: {"host": "x", "tls": 3}})[0].where


def test_unknown_tables_are_errors_only_when_all_sections_are_known(files: dict[str, Path]) -> None:
    files["toml"].write_text('[mial]\nhost = "x"\n')
    assert load(AppSettings, **files)
    [problem] = problems_of(MailSettings, env={"MAIL_HOST": "x"}, complete=True, **files)
    assert problem.fix == "did you mean 'mail'?"


def test_an_unknown_explicit_name_is_an_error() -> None:
    [problem] = problems_of(AppSettings, overrides={AppSettings: {"htpps": True}})
    assert "https" in problem.fix


def test_a_section_needs_a_name_of_its_own() -> None:
    class Nameless(Settings):
        pass

    class Other(Settings, section="app"):
        pass

    assert "Settings, section=" in problems_of(Nameless)[0].fix
    assert "belongs to" in problems_of(AppSettings, Other)[0].message
    with pytest.raises(TypeError, match="lower-case"):

        class _Wrong(Settings, section="My-Section"):
            pass


def test_settings_are_frozen_and_keyword_only() -> None:
    with pytest.raises(AttributeError):
        MailSettings(host="x").host = "y"  # type: ignore[misc]
    with pytest.raises(TypeError):
        MailSettings("x")  # type: ignore[call-arg]


def test_the_app_section_has_the_documented_defaults() -> None:
    app = AppSettings()
    assert (app.https, app.allowed_hosts, app.max_body) == (False, (), 2_621_440)
    loaded = load(AppSettings, env={"APP_ALLOWED_HOSTS": "example.com,.example.org", "APP_HTTPS": "on"})[AppSettings]
    assert loaded.allowed_hosts == ("example.com", ".example.org")
    assert loaded.https is True


class Vault(Settings, section="vault"):
    key: Secret


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


@pytest.mark.parametrize(
    ("text", "tp", "want"),
    [
        ("on", bool, True),
        ("TRUE", bool, True),
        ("0", bool, False),
        ("off", bool | None, False),
        ("12", int, 12),
        (" -3 ", int, -3),
        ("1.5", float, 1.5),
        ("1e3", float, 1000.0),
        (" a ", str, " a "),
        (" a ", Secret, Secret(" a ")),
        ("x/y", Path, Path("x/y")),
        ("90", timedelta, timedelta(seconds=90)),
        ("PT1M", timedelta, timedelta(minutes=1)),
        ("2026-11-23", date, date(2026, 11, 23)),
        ("1.10", Decimal, Decimal("1.10")),
        ("red", Colour, Colour.RED),
        ("1", Level, Level.LOW),
        ("2", Literal[1, 2], 2),
        ("a,b", list[str], ["a", "b"]),
        ('["a,b"]', list[str], ["a,b"]),
        ("1, 2", tuple[int, ...], (1, 2)),
        ("1,x", tuple[int, str], (1, "x")),
        ("1,1", set[int], {1}),
        ("5, PT1S", list[timedelta], [timedelta(seconds=5), timedelta(seconds=1)]),
        ("[5]", list[timedelta], [timedelta(seconds=5)]),
        ("a", tuple[Secret, ...], (Secret("a"),)),
        ('{"a": 1}', dict[str, int], {"a": 1}),
        ("7", int | str, 7),
        ("x", int | str, "x"),
        ("[1", str, "[1"),
    ],
)
def test_text_becomes_the_type_of_its_field(text: str, tp: Any, want: Any) -> None:
    got = from_text(text, tp)
    assert got == want
    assert type(got) is type(want)


@pytest.mark.parametrize(
    ("text", "tp"),
    [
        ("maybe", bool),
        ("2", bool),
        ("1_0", int),
        ("1.0", int),
        ("٣", int),
        ("9" * 20, int),
        ("nan", float),
        ("inf", float),
        ("1_0.0", float),
        ("soon", timedelta),
        ("blue", Colour),
        ("3", Literal[1, 2]),
        ("1,x", list[int]),
        ("1", tuple[int, int]),
        ("[1", list[int]),
        ("{", dict[str, int]),
        ("a\0b", Path),
        ("0", Annotated[int, Meta(ge=1)]),
        ("x", int | float),
        ("[" * 100_000, dict[str, int]),
    ],
)
def test_text_of_another_type_is_refused(text: str, tp: Any) -> None:
    with pytest.raises(WrongValue):
        from_text(text, tp)
    assert describe(tp)


@given(
    st.text(), st.sampled_from([bool, int, float, timedelta, Path, list[int], dict[str, int], Colour, date, int | None])
)
def test_text_never_fails_in_another_way(text: str, tp: Any) -> None:
    try:
        from_text(text, tp)
    except WrongValue as exc:
        assert str(exc)


@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"]))), st.booleans())
def test_a_list_in_json_round_trips(values: list[str], indent: bool) -> None:
    text = msgspec.json.encode(values)
    assert from_text((msgspec.json.format(text) if indent else text).decode(), list[str]) == values


# -- .env --------------------------------------------------------------------------------------------------------


def test_dotenv_reads_every_form() -> None:
    text = """\ufeff# comment
A=plain value   # comment
export B = 'single $x \\n # "kept"'
C="double \\n \\" \\\\ \\$ \\q"   # comment
D='two
lines'
E=
F=a#b
G=#comment
  H=1\r
A=last
I=''"""
    values, problems = read_dotenv(text)
    assert problems == []
    assert values == {
        "A": "last",
        "B": 'single $x \\n # "kept"',
        "C": 'double \n " \\ $ \\q',
        "D": "two\nlines",
        "E": "",
        "F": "a#b",
        "G": "",
        "H": "1",
        "I": "",
    }


def test_dotenv_reports_wrong_lines_with_their_number_and_not_their_text() -> None:
    values, problems = read_dotenv("A='a\nb'\nhunter2\nB='open\nC=\"x\"y\n1D=x\nE=1")
    assert values == {"A": "a\nb", "E": "1"}
    assert [problem.where for problem in problems] == [".env:3", ".env:4", ".env:5", ".env:6"]
    assert "hunter2" not in str(problems)


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r")))
def test_a_quoted_value_round_trips(value: str) -> None:
    quoted = '"' + "".join("\\" + c if c in '"\\$' else c for c in value) + '"'
    assert read_dotenv(f"X={quoted}\nY=1") == ({"X": value, "Y": "1"}, [])


@given(st.text(st.sampled_from("AB_=\"'\\ \n\t#$exportx\r")))
def test_dotenv_never_raises(text: str) -> None:
    values, problems = read_dotenv(text)
    assert len(values) + len(problems) <= text.count("\n") + 1


@pytest.mark.parametrize(
    "unit", ['A="\n', "A='\n", "A='\nb'c\n", "export ", 'A="\\"\n', "x\n", "A = ", '"', "\\\n", "# "]
)
def test_dotenv_is_linear(unit: str) -> None:
    text = unit * (60_000 // len(unit))
    start = time.process_time()
    read_dotenv(text)
    read_dotenv("A=" + text)
    read_dotenv('A="' + text)
    assert time.process_time() - start < 2


# -- Secret ------------------------------------------------------------------------------------------------------


def test_a_secret_is_masked_everywhere() -> None:
    secret = Secret("hunter2")
    for shown in (
        repr(secret),
        str(secret),
        f"{secret}",
        repr([secret]),
        repr(Vault(key=secret)),
    ):
        assert "hunter2" not in shown
    assert secret.reveal() == "hunter2"
    with pytest.raises(TypeError):
        msgspec.json.encode(Vault(key=secret))
    assert not hasattr(secret, "__dict__")


def test_secrets_compare_by_their_text() -> None:
    assert Secret("a") == Secret("a") == copy.deepcopy(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("é")}) == 2
    assert not Secret("")
