"""Loading an app from what the user named: `FILE.py`, `module:app`, or nothing."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import sysconfig
import tomllib
import traceback
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from quintet.app import Application
from quintet.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from quintet.server.hosted_app import HostedApp

#: Where the code of Quintet is.
PACKAGE = str(Path(__file__).resolve().parent.parent)
_LIBRARY = sysconfig.get_path("stdlib")


def load_app(target: str | None) -> Application:
    """Return the app that `target` names; another ASGI or WSGI app is wrapped in one of ours.

    Args:
        target: `hello.py`, `hello.py:app`, `package.module:app`, or None for `app.py` in this directory.

    Raises:
        ConfigurationError: there is no such file, module or app. Errors inside the module are raised as they are.
    """
    found = load_object(target)
    if isinstance(found, Application):
        return found
    if callable(found) and not inspect.isclass(found):
        app = Application()
        app.mount("/", found)
        return app
    raise _problem(
        f"{target or 'app.py'} names {type(found).__name__!r}, which is no app",
        "name an App, or an ASGI or WSGI callable",
    )


def load_served(target: str | None) -> Application | HostedApp:
    """Return the app that `target` names, as the built-in server serves it: another framework's is called directly.

    Args:
        target: as for `load_app`. The settings `hosted` say whether it names a function that makes the app.

    Raises:
        ConfigurationError: there is no such file, module or app. Errors inside the module are raised as they are.
    """
    found = load_object(target)
    if isinstance(found, Application):
        return found
    from quintet.config import load_settings
    from quintet.server.hosted_app import HostedApp, HostedSettings

    settings = load_settings(HostedSettings)[HostedSettings]
    where = target or "app.py"
    if settings.factory:
        if not callable(found):
            raise _problem(f"{where} names {type(found).__name__!r}, which makes no app", "leave --factory out")
        found = found()
        if isinstance(found, Application):
            return found
    if not callable(found):
        raise _problem(
            f"{where} names {type(found).__name__!r}, which is no app", "name an App, or an ASGI or WSGI callable"
        )
    return HostedApp(found, settings=settings)


def load_own_app(target: str | None) -> Application:
    """Return the Quintet app that `target` names.

    Raises:
        ConfigurationError: there is none there, or it is another framework's.
    """
    found = load_object(target)
    if isinstance(found, Application):
        return found
    raise _problem(f"{target or 'app.py'} names {type(found).__name__!r}, which is not a Quintet app", "name an App")


def load_object(target: str | None) -> Any:
    """Return the object that `target` names.

    Raises:
        ConfigurationError: there is no such file, module or object.
    """
    target = target or default_target()
    if target is None:
        raise _problem("no app was named, and there is no app.py in this directory", "name it: quintet dev FILE.py")
    where, name = split_target(target)
    module = _load_file(Path(where)) if is_file(where) else _load_module(where)
    return _find(module, name, where)


def default_target() -> str | None:
    """Return the target where none was named: QUINTET_APP, `app` in the section `quintet` of quintet.toml, app.py."""
    named = os.environ.get("QUINTET_APP")
    if named:
        return named
    try:
        with open("quintet.toml", "rb") as file:
            settings: dict[str, Any] = tomllib.load(file)
    except FileNotFoundError:
        settings = {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise _problem(f"quintet.toml cannot be read: {exc}", "repair it") from None
    section = settings.get("quintet")
    if isinstance(section, dict) and isinstance(configured := cast("dict[str, Any]", section).get("app"), str):
        return configured
    return "app.py" if Path("app.py").is_file() else None


def split_target(target: str) -> tuple[str, str]:
    """Return the file or module of a target, and the name in it; no name where the target has none."""
    where, separator, name = target.rpartition(":")
    if not separator or not where or "/" in name or "\\" in name:
        return target, ""
    return where, name


def is_file(where: str) -> bool:
    """Tell a file from a module."""
    return where.endswith(".py") or "/" in where or "\\" in where


def watched_paths(target: str | None) -> list[Path]:
    """Return the folders and files whose changes concern an app."""
    where = split_target(target or default_target() or "app.py")[0]
    here = Path.cwd()
    folder = Path(where).resolve().parent if is_file(where) else here
    return [folder] if folder == here else [folder, here / "quintet.toml", here / ".env"]


def _load_file(path: Path) -> Any:
    path = path.resolve()
    if not path.is_file():
        raise _problem(f"there is no file {str(path)!r}", "check the path")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    known = sys.modules.get(path.stem)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    name = path.stem if known is None and path.stem.isidentifier() else f"_quintet_app_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise _problem(f"{str(path)!r} is not a Python file", "name a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _load_module(name: str) -> Any:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is None or (exc.name != name and not name.startswith(f"{exc.name}.")):
            raise
        raise _problem(
            f"there is no module {name!r}", "run this in the project's directory, or name a file: quintet run FILE.py"
        ) from None


def _find(module: Any, name: str, where: str) -> Any:
    if name:
        value = module
        for part in name.split("."):
            try:
                value = getattr(value, part)
            except AttributeError:
                raise _problem(f"{where} has no {name!r}", "check the name after the colon") from None
        return value
    for candidate in ("app", "application"):
        if hasattr(module, candidate):
            return getattr(module, candidate)
    values = cast("dict[str, Any]", vars(module)).values()
    apps = [v for v in values if isinstance(v, Application)]
    if len(apps) == 1:
        return apps[0]
    found = "no app" if not apps else f"{len(apps)} apps"
    raise _problem(f"{where} has {found}", "name it `app`, or write FILE.py:name")


def _problem(message: str, fix: str) -> ConfigurationError:
    return ConfigurationError(Problem(id="app.load", message=message, fix=fix))


def own_traceback(exc: BaseException) -> str:
    """Return an exception's traceback from the user's first frame on: how Quintet came there says nothing."""
    seen: set[int] = set()
    current: BaseException | None = exc
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        current.__traceback__ = _cut(current.__traceback__)
        current = current.__cause__ or current.__context__
    return "".join(traceback.format_exception(exc))


def _cut(tb: TracebackType | None) -> TracebackType | None:
    """Drop the frames before the user's first; keep all where there is none of the user's."""
    first = tb
    while first is not None and _is_foreign(first.tb_frame.f_code.co_filename):
        first = first.tb_next
    return first or tb


def _is_foreign(filename: str) -> bool:
    """Tell whether a file is Quintet's or the standard library's."""
    if "site-packages" in filename and not filename.startswith(PACKAGE):
        return False
    return filename.startswith((PACKAGE, _LIBRARY, "<frozen ", "<quintet "))
