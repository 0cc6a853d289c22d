from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.observability.logging import (
    JSONFormatter,
    LineFormatter,
    RepeatFilter,
    RepeatLimiter,
    SafeHandler,
    configure_logging,
)

ATTACK = "/a\nFAKE 200 \x1b[31m\u2028\u2029\r\x85\x0b\x0c"
SECRETS = "password=hunter2 postgresql://u:hunter2@h Authorization: Bearer hunter2hunter2"
logger = logging.getLogger("tests.logging")


@pytest.fixture(autouse=True)
def root() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before, level


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def setup(json: bool | None = True, **options: Any) -> io.StringIO:
    stream = io.StringIO()
    configure_logging(json=json, stream=stream, **options)
    return stream


def test_json_lines_carry_what_is_known() -> None:
    stream = setup(request_id=lambda: "r-1")
    logger.info("hello %s", "you", extra={"user": "ada", "count": 3, "tags": ["a"], "api_key": "hunter2"})
    (record,) = [json.loads(line) for line in lines(stream)]
    assert record.pop("time").endswith("+00:00")
    assert record == {
        "level": "info", "logger": "tests.logging", "message": "hello you", "request_id": "r-1", "user": "ada",
        "count": 3, "tags": ["a"], "api_key": "********",
    }  # fmt: skip


def test_lines_for_people_carry_the_same() -> None:
    stream = setup(json=False, request_id=lambda: "r-1")
    logger.warning("hello %s", "you", extra={"user": "ada"})
    (line,) = lines(stream)
    assert line[8:] == " WARNING  tests.logging: hello you [r-1] user=ada"


def test_the_request_id_is_that_of_the_moment() -> None:
    current: ContextVar[str | None] = ContextVar("current", default=None)
    stream = setup(request_id=current.get)
    logger.info("outside")
    token = current.set("r-2")
    logging.getLogger("another").info("inside")
    current.reset(token)
    assert [json.loads(line).get("request_id") for line in lines(stream)] == [None, "r-2"]


@pytest.mark.parametrize("as_json", [True, False])
def test_h1_one_record_is_one_line(as_json: bool) -> None:
    stream = setup(json=as_json, request_id=lambda: ATTACK)
    logger.info("path %s", ATTACK, extra={"user": ATTACK, "nested": {ATTACK: [ATTACK]}})
    text = stream.getvalue()
    assert len(text.splitlines()) == 1
    assert text[:-1].isprintable()


@pytest.mark.parametrize("as_json", [True, False])
def test_h1_a_traceback_cannot_pass_for_records(as_json: bool) -> None:
    stream = setup(json=as_json)
    try:
        raise ValueError("x\n12:00:00 INFO     tests: forged \x1b[2J")
    except ValueError:
        logger.exception("failed")
    assert "\x1b" not in stream.getvalue()
    assert sum(not line.startswith("    ") for line in lines(stream)) == 1
    assert "ValueError" in stream.getvalue()


@given(st.text(st.characters()), st.booleans())
def test_any_text_is_one_line(text: str, as_json: bool) -> None:
    formatter = JSONFormatter() if as_json else LineFormatter()
    record = logging.makeLogRecord({"msg": text, "name": text, "levelno": 20, "user": text, "request_id": text})
    line = formatter.format(record)
    assert len(line.splitlines()) == 1
    line.encode()
    if as_json:
        json.loads(line)


@pytest.mark.parametrize("as_json", [True, False])
def test_h2_secrets_are_masked(as_json: bool) -> None:
    class Secret:
        def __str__(self) -> str:
            return "hunter2"

    stream = setup(json=as_json)
    try:
        raise ValueError(SECRETS)
    except ValueError:
        logger.exception(
            SECRETS,
            extra={"url": SECRETS, "body": {"token": "hunter2", "deep": [SECRETS]}, "x": Secret()},
            stack_info=True,
        )
    assert "hunter2" not in stream.getvalue()


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


@pytest.mark.parametrize("as_json", [True, False])
def test_a_record_that_cannot_be_formatted_is_told(as_json: bool) -> None:
    stream = io.StringIO()
    handler = SafeHandler(stream)
    handler.setFormatter(JSONFormatter() if as_json else LineFormatter())
    for fields in (
        {"msg": "%s and %s", "args": ("one",)},
        {"msg": "%s", "args": (Hostile(),)},
        {"msg": "x", "value": Hostile(), "number": float("nan"), "huge": 10**30},
        {"msg": Hostile()},
    ):
        handler.handle(logging.makeLogRecord({"name": "x", "levelno": 20, "levelname": "INFO", **fields}))
    assert len(lines(stream)) == 4
    assert "its arguments do not fit: TypeError" in lines(stream)[0]


def test_a_closed_full_or_odd_output_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    closed = io.StringIO()
    closed.close()
    configure_logging(stream=closed)
    logger.info("lost")
    with open("/dev/full", "w") if os.path.exists("/dev/full") else io.StringIO() as full:
        configure_logging(stream=full)
        logger.info("lost")
        try:
            full.close()
        except OSError:
            pass
    reader, writer = os.pipe()
    os.close(reader)
    broken = os.fdopen(writer, "w")
    configure_logging(stream=broken)
    logger.info("lost")
    with pytest.raises(BrokenPipeError):
        broken.close()
    latin = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    configure_logging(stream=latin, json=False)
    logger.info("déjà")
    latin.seek(0)
    assert "d\\xe9j\\xe0" in latin.read()
    assert capsys.readouterr() == ("", "")


def test_configuring_again_replaces_only_its_own_handler() -> None:
    other = logging.NullHandler()
    logging.getLogger().addHandler(other)
    first, second = setup(), setup(level="warning")
    logger.info("not shown")
    logger.warning("shown")
    assert lines(first) == []
    assert len(lines(second)) == 1
    assert other in logging.getLogger().handlers
    assert sum(isinstance(h, SafeHandler) for h in logging.getLogger().handlers) == 1


def test_a_terminal_gets_lines_with_color_and_a_file_gets_json() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    configure_logging(stream=terminal)
    logger.error("x")
    assert "\x1b[31mERROR" in terminal.getvalue()
    file = setup(json=None)
    logger.error("x")
    assert json.loads(file.getvalue())["where"].startswith(__file__)


def test_long_text_is_shortened() -> None:
    stream = setup()
    logger.info("c" * 10**6)
    assert len(stream.getvalue()) < 30_000


def test_h3_repeated_warnings_are_limited() -> None:
    now = 0.0
    stream = setup(json=False)
    limited = logging.getLogger("tests.limited")
    limiter = RepeatFilter(RepeatLimiter(limit=3, period=60, clock=lambda: now))
    limited.addFilter(limiter)
    try:
        for n in range(1000):
            limited.warning("malformed request %d", n)
        limited.warning("something else")
        assert len(lines(stream)) == 4
        now = 61.0
        limited.warning("malformed request %d", 1)
    finally:
        limited.removeFilter(limiter)
    assert lines(stream)[-1].endswith("malformed request 1 (997 more like it were not shown)")


def test_h3_the_limiter_does_not_grow() -> None:
    limiter = RepeatLimiter(max_keys=10)
    assert all(limiter.admit(n) == 0 for n in range(1000))
    assert len(limiter._windows) == 10


def test_h3_identical_warnings_are_limited_and_errors_are_not() -> None:
    stream = setup(json=False, repeat=3)
    for n in range(50):
        logger.warning("the cache is away")
        logger.warning("order %d is late", n)
        logger.error("order lost")
        logging.getLogger("quintet.server").warning("malformed request %d", n)
    shown = lines(stream)
    assert sum("the cache is away" in line for line in shown) == 3
    assert sum("is late" in line for line in shown) == 50, "warnings of the app that differ are all shown"
    assert sum("order lost" in line for line in shown) == 50
    assert sum("malformed request" in line for line in shown) == 3, "what clients cause counts as one text"


def test_without_a_limit_every_warning_is_shown() -> None:
    stream = setup(json=False, repeat=0)
    for _ in range(50):
        logger.warning("the cache is away")
    assert len(lines(stream)) == 50
