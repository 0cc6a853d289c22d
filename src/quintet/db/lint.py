"""SQL put together from strings, found in an app's own code: what `quintet check` reads in the app's modules.

`text()`, `literal_column()` and `extract()` put their first argument into SQL as it is. A constant is safe there;
anything else may come from outside.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from quintet.errors import Problem

_RAW = {"text", "literal_column", "extract"}
#: A comment with this and a reason on a call's first line says that it has been looked at.
_SEEN = "# safe sql:"


def check_project(root: Path) -> list[Problem]:
    """Return a problem for each such call in the modules that were loaded from a folder."""
    found: list[Problem] = []
    for file in _files(root):
        try:
            source = file.read_text()
            tree = ast.parse(source)
        except (OSError, SyntaxError, UnicodeDecodeError, ValueError):
            continue  # what Python has run is no such file any more
        found += [_problem(call, name, file) for call, name in find_calls(tree, source.splitlines())]
    return found


def _files(root: Path) -> list[Path]:
    """Return the app's own modules: those below its folder that are not installed."""
    own = Path(__file__).parents[1]
    paths = {Path(file).resolve() for m in list(sys.modules.values()) if (file := getattr(m, "__file__", None))}
    prefix = Path(sys.prefix).resolve()
    return sorted(
        path
        for path in paths
        if path.suffix == ".py"
        and path.is_relative_to(root.resolve())
        and not path.is_relative_to(own)
        and not ("site-packages" in path.parts or (path.is_relative_to(prefix) and prefix != root.resolve()))
    )


def find_calls(tree: ast.Module, lines: Sequence[str]) -> Iterator[tuple[ast.Call, str]]:
    """Give the calls whose SQL is not constant, with the function's name."""
    functions, modules = _imports(tree)
    constants = _constants(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (node.args or node.keywords):
            name = _called(node.func, functions, modules)
            first = node.args[0] if node.args else node.keywords[0].value
            if name and not _is_constant(first, constants) and _SEEN not in lines[node.lineno - 1].lower():
                yield node, name


def _imports(tree: ast.Module) -> tuple[dict[str, str], set[str]]:
    """Return the names under which a module knows the functions, and SQLAlchemy's modules."""
    functions: dict[str, str] = {}
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "sqlalchemy":
            for alias in node.names:
                if alias.name in _RAW:
                    functions[alias.asname or alias.name] = alias.name
                else:
                    modules.add(alias.asname or alias.name)  # `from sqlalchemy import sql`
        elif isinstance(node, ast.Import):
            modules |= {
                a.asname or a.name for a in node.names if a.name == "sqlalchemy" or a.name.startswith("sqlalchemy.")
            }
    return functions, modules


def _called(function: ast.expr, functions: dict[str, str], modules: set[str]) -> str | None:
    if isinstance(function, ast.Name):
        return functions.get(function.id)
    if isinstance(function, ast.Attribute) and function.attr in _RAW and ast.unparse(function.value) in modules:
        return function.attr
    return None


def _constants(tree: ast.Module) -> set[str]:
    """Return the names that a module gives a constant once and nothing else ever."""
    good: set[str] = set()
    stored: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and _is_constant(node.value, good):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            good |= {t.id for t in targets if isinstance(t, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            stored.append(node.id)
        elif isinstance(node, ast.arg):
            stored.append(node.arg)
    return {name for name in good if stored.count(name) == 1}


def _is_constant(node: ast.expr, constants: set[str]) -> bool:
    match node:
        case ast.Constant():
            return True
        case ast.JoinedStr():
            return all(isinstance(part, ast.Constant) for part in node.values)
        case ast.BinOp(op=ast.Add()):
            return _is_constant(node.left, constants) and _is_constant(node.right, constants)
        case ast.Name():
            return node.id in constants
        case _:
            return False


def _problem(call: ast.Call, name: str, file: Path) -> Problem:
    fix = {
        "extract": 'write the part as a constant, extract("year", …), and choose among such calls',
        "literal_column": "use a column, or choose among constants",
    }.get(name, 'use bound parameters, text("… WHERE id = :id").bindparams(id=id)')
    return Problem(
        id="sql.not_constant",
        message=f"{name}() takes its SQL from {ast.unparse(call.args[0] if call.args else call.keywords[0].value)}",
        where=f"{file}:{call.lineno}",
        fix=f"{fix}; if it never comes from outside, say why in a comment there: {_SEEN} …",
    )
