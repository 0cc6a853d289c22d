"""The public names, and what importing them costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import quintet
import quintet.testing

HEAVY = {
    "jinja2",
    "click",
    "rich",
    "uvloop",
    "httptools",
    "sqlalchemy",
    "werkzeug",
    "httpx2",
    "pydantic",
    "attrs",
    "attr",
}


def names_for_type_checkers(module: object) -> dict[str, str]:
    """Return the names in a module's TYPE_CHECKING block, and where each comes from."""
    file = getattr(module, "__file__", None)
    assert file is not None
    names: dict[str, str] = {}
    for node in ast.parse(Path(file).read_text()).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.body:
                assert isinstance(statement, ast.ImportFrom)
                assert statement.module is not None
                for alias in statement.names:
                    if statement.module.startswith("quintet"):
                        assert alias.asname == alias.name, "a re-export is written `import X as X`"
                        names[alias.name] = statement.module
    return names


@pytest.mark.parametrize("module", [quintet, quintet.testing])
def test_all_names_are_importable_and_known_to_type_checkers(module: object) -> None:
    public: list[str] = module.__all__  # type: ignore[attr-defined]
    checked = names_for_type_checkers(module)
    assert sorted(set(public) - {"__version__"}) == sorted(checked)
    for name, home in checked.items():
        assert getattr(module, name) is getattr(import_module(home), name), name


def test_the_list_of_names_is_sorted_and_complete() -> None:
    assert list(quintet.__all__[1:]) == sorted(set(quintet.__all__[1:]))
    assert set(dir(quintet)) >= set(quintet.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Nonsense'"):
        _ = quintet.Nonsense  # type: ignore[attr-defined]


def loaded_by(code: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter has loaded after some code."""
    script = f"import sys\n{code}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import quintet") & (HEAVY | {"msgspec", "multipart", "asyncio"}) == set()


def test_an_app_loads_no_more_than_it_uses() -> None:
    code = """
from quintet import App
app = App()
@app.get('/{n}')
async def handler(n: int) -> dict[str, int]:
    return {'n': n}
app.freeze()
"""
    assert loaded_by(code) & HEAVY == set()
