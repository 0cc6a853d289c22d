"""Loading an app from what the user named: `FILE.py`, `module:app`, or nothing."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from quintet.errors import ConfigurationError, Problem


def load_app(target: str | None) -> Any:
    """Return the app object that `target` names.

    Args:
        target: `hello.py`, `hello.py:app`, `package.module:app`, or None for `app.py` in this directory.

    Raises:
        ConfigurationError: there is no such file, module or object. Errors inside the module are raised as they are.
    """
    if target is None:
        if not Path("app.py").is_file():
            raise _problem("no app was named, and there is no app.py in this directory", "name it: quintet dev FILE.py")
        target = "app.py"
    where, separator, name = target.rpartition(":")
    if not separator or where == "" or (len(where) == 1 and name.startswith("\\")):
        where, name = target, ""
    module = _load_file(Path(where)) if where.endswith(".py") or "/" in where else _load_module(where)
    return _find(module, name, where)


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
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _load_module(name: str) -> Any:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name != name and not name.startswith(f"{exc.name}."):
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
    from quintet.app import Application

    for candidate in ("app", "application"):
        if hasattr(module, candidate):
            return getattr(module, candidate)
    apps = [v for v in vars(module).values() if isinstance(v, Application)]
    if len(apps) == 1:
        return apps[0]
    found = "no app" if not apps else f"{len(apps)} apps"
    raise _problem(f"{where} has {found}", "name it `app`, or write FILE.py:name")


def _problem(message: str, fix: str) -> ConfigurationError:
    return ConfigurationError(Problem(id="app.load", message=message, fix=fix))
