from __future__ import annotations

import asyncio
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from quintet._utils import MASK
from quintet.dev.frames import Frame, Trace, read_exception, show
from quintet.templating import Templates


def fail(secret_number: int) -> None:
    raise ValueError(f"cannot use {secret_number}")


def caught(function: Any, *args: Any) -> Trace:
    try:
        function(*args)
    except BaseException as error:
        return read_exception(error)
    raise AssertionError("nothing was raised")


def last(trace: Trace) -> Frame:
    return trace.frames[-1]


def test_a_frame_has_its_place_source_and_variables() -> None:
    frame = last(caught(fail, 7))
    assert (frame.function, frame.kind) == ("fail", "app")
    assert frame.file == __file__
    assert frame.source == 'raise ValueError(f"cannot use {secret_number}")'
    assert [(v.name, v.value, v.type) for v in frame.variables] == [("secret_number", MASK, "int")]


def test_the_failing_expression_is_known_by_its_columns() -> None:
    def divide(a: int, b: int) -> float:
        return a + a / b

    frame = last(caught(divide, 1, 0))
    assert frame.columns is not None
    line = next(line.text for line in frame.lines if line.current)
    assert line[frame.columns[0] : frame.columns[1]] == "a / b"


def test_handlers_on_the_loop_and_in_threads_show_their_frames() -> None:
    async def inner() -> None:
        await asyncio.sleep(0)
        fail(1)

    async def handler() -> None:
        await inner()

    async def threaded() -> None:
        with ThreadPoolExecutor(1) as pool:
            await asyncio.get_running_loop().run_in_executor(pool, fail, 1)

    names = [f.function.rpartition(".")[2] for f in caught(lambda: asyncio.run(handler())).frames if f.is_own]
    assert names[-3:] == ["handler", "inner", "fail"]
    names = [f.function.rpartition(".")[2] for f in caught(lambda: asyncio.run(threaded())).frames if f.is_own]
    assert names[-2:] == ["threaded", "fail"]


def test_libraries_are_told_from_the_app() -> None:
    trace = caught(re.compile, "(")
    assert last(trace).kind == "library"
    assert not last(trace).short_file.startswith("/")


def test_a_template_shows_its_own_line_and_context(tmp_path: Path) -> None:
    (tmp_path / "t.html").write_text("one\n{% for x in xs %}\n  {{ 1 // x }}\n{% endfor %}")
    templates = Templates(tmp_path, development=True, globals={"url_for": lambda name: name})
    frame = last(caught(lambda: templates.render("t.html", {"xs": [1, 0], "password": "hunter2"})))
    assert (frame.kind, frame.line, frame.source) == ("template", 3, "{{ 1 // x }}")
    assert {v.name: v.value for v in frame.variables} == {"xs": "[1, 0]", "password": MASK, "x": "0"}


def test_a_template_syntax_error_shows_the_line_of_the_template(tmp_path: Path) -> None:
    (tmp_path / "t.html").write_text("one\n{% if %}\n")
    frame = last(caught(lambda: Templates(tmp_path).render("t.html")))
    assert (frame.file, frame.line, frame.source) == (str(tmp_path / "t.html"), 2, "{% if %}")


def test_a_python_syntax_error_shows_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_module.py").write_text("x = 1\ndef (:\n")
    monkeypatch.syspath_prepend(tmp_path)
    frame = last(caught(lambda: __import__("broken_module")))
    assert (Path(frame.file).name, frame.line, frame.source) == ("broken_module.py", 2, "def (:")


def test_causes_and_contexts_are_followed() -> None:
    def cause() -> None:
        try:
            fail(1)
        except ValueError as error:
            raise KeyError("k") from error

    def context() -> None:
        try:
            cause()
        except KeyError:
            raise RuntimeError("third")  # noqa: B904

    def silent() -> None:
        try:
            fail(1)
        except ValueError:
            raise KeyError("k") from None

    assert [(t.type, t.relation) for t in caught(context).chain()] == [
        ("ValueError", None),
        ("KeyError", "cause"),
        ("RuntimeError", "context"),
    ]
    assert len(caught(silent).chain()) == 1


def test_a_chain_that_bites_its_tail_ends() -> None:
    a, b = ValueError("a"), ValueError("b")
    a.__cause__, b.__cause__ = b, a
    assert [t.message for t in read_exception(a).chain()] == ["b", "a"]


def test_groups_show_their_members() -> None:
    async def many() -> None:
        calls = [asyncio.to_thread(fail, n) for n in (1, 2)]
        failures = await asyncio.gather(*calls, return_exceptions=True)
        raise ExceptionGroup("both", [f for f in failures if isinstance(f, Exception)])

    trace = caught(lambda: asyncio.run(many()))
    assert trace.type == "ExceptionGroup"
    assert sorted(child.message for child in trace.children) == ["cannot use 1", "cannot use 2"]
    assert sum(frame.function == "fail" for frame in trace.walk()) == 2


def test_a_very_deep_stack_is_shortened() -> None:
    def deep(n: int) -> int:
        return deep(n + 1)

    trace = caught(deep, 0)
    assert len(trace.frames) <= 60
    assert trace.left_out > sys.getrecursionlimit() // 2


class Hostile:
    def __repr__(self) -> str:
        raise SystemExit

    def __str__(self) -> str:
        raise KeyboardInterrupt


class HostileError(Exception):
    def __str__(self) -> str:
        raise ValueError


class Secret(str):
    pass


def test_hostile_objects_do_not_break_it() -> None:
    def handler(value: object) -> None:
        raise HostileError

    trace = caught(handler, Hostile())
    assert trace.message == "<str() raised ValueError>"
    assert last(trace).variables[0].value == "<repr() raised SystemExit>"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("password", "hunter2"),
        ("x", Secret("hunter2")),
        ("x", [Secret("hunter2")]),
        ("x", {"password": "hunter2"}),
        ("x", {"a": {"api_key": "hunter2"}}),
        ("x", MappingProxyType({"SECRET_KEY": "hunter2"})),
        ("x", [(b"authorization", b"Bearer hunter2")]),
        ("x", ("cookie", "s=hunter2")),
        ("x", "postgresql://a:hunter2@h/d"),
        ("x", "x" * 590 + "postgresql://a:hunter2@h/d"),
        ("x", type("User", (), {"__repr__": lambda self: "User(name='a', password='hunter2')"})()),
        ("x", b"Authorization: Bearer hunter2hunter2"),
        ("environ", {"DATABASE_URL": "pg://a:hunter2@h", "AWS_SECRET_ACCESS_KEY": "hunter2"}),
    ],
)
def test_h2_secrets_are_masked(name: str, value: object) -> None:
    shown = show(name, value)
    assert "hunter2" not in shown
    assert "***" in shown


def test_values_are_short() -> None:
    assert len(show("x", "y" * 10**6)) < 1000
    assert len(show("x", list(range(10**6)))) < 1000
    assert len(show("x", {n: [n] * 1000 for n in range(1000)})) < 3000
    recursive: list[Any] = []
    recursive.append(recursive)
    assert show("x", recursive)
    assert show("is_token", True) == "True"
    assert show("token", None) == "None"
