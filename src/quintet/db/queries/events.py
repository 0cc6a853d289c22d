"""One place that hears of every statement: compiled queries and what SQLAlchemy runs itself."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import greenlet
import sqlalchemy

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

    from sqlalchemy import Engine

__all__ = ["LISTENERS", "QueryEvent", "listening", "notify", "off_query", "on_query", "watch_engine"]


@dataclass(frozen=True, slots=True)
class QueryEvent:
    """A statement that ran."""

    #: The SQL with placeholders; never a value.
    sql: str
    #: How many values were bound.
    parameters: int
    #: Seconds from sending it to having its rows.
    duration: float
    #: The line of the app that asked for it, as `file:line`; empty when there is none.
    source: str
    #: The query's name, or None for a statement that SQLAlchemy ran.
    query: str | None = None
    #: The error that ended it.
    error: BaseException | None = None


#: Who is told of every statement; read by those who tell, added to by `on_query`.
LISTENERS: list[Callable[[QueryEvent], None]] = []
_OURS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
_SKIPPED = (
    _OURS,
    os.path.dirname(os.path.abspath(sqlalchemy.__file__)) + os.sep,
    os.path.dirname(os.__file__) + os.sep + "asyncio",
    os.path.dirname(os.__file__) + os.sep + "contextlib",
)


def on_query(listener: Callable[[QueryEvent], None]) -> Callable[[QueryEvent], None]:
    """Call a function after every statement; usable as a decorator. Without listeners nothing is measured."""
    LISTENERS.append(listener)
    return listener


def off_query(listener: Callable[[QueryEvent], None]) -> None:
    """Stop calling a function; one that does not listen is ignored."""
    if listener in LISTENERS:
        LISTENERS.remove(listener)


@contextmanager
def listening(listener: Callable[[QueryEvent], None]) -> Generator[None, None, None]:
    """Call a function after every statement while the block runs."""
    on_query(listener)
    try:
        yield
    finally:
        off_query(listener)


def notify(sql: str, parameters: int, duration: float, query: str | None, error: BaseException | None = None) -> None:
    """Tell every listener of a statement that ran."""
    if LISTENERS:
        event_ = QueryEvent(sql, parameters, duration, find_source(), query, error)
        for listener in tuple(LISTENERS):
            listener(event_)


def find_source() -> str:
    """Return the innermost line that is neither ours nor SQLAlchemy's, across greenlets."""
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    current: Any = greenlet.getcurrent()
    while True:
        while frame is not None:
            if not frame.f_code.co_filename.startswith(_SKIPPED) and not frame.f_code.co_filename.startswith("<"):
                return f"{frame.f_code.co_filename}:{frame.f_lineno}"
            frame = frame.f_back
        current = current.parent
        if current is None:
            return ""
        frame = current.gr_frame


def watch_engine(engine: Engine) -> None:
    """Tell the listeners of the statements that SQLAlchemy itself runs on this engine; once per engine.

    PERF: around the three ways in which a dialect runs a statement. As listeners to the engine's events the same would
    cost a hundred calls for each statement, heard or not.
    """
    dialect: Any = engine.dialect
    if dialect.__dict__.get("_quintet_watched"):
        return
    dialect._quintet_watched = True
    plain, many, bare = dialect.do_execute, dialect.do_executemany, dialect.do_execute_no_params

    def do_execute(cursor: Any, sql: str, parameters: Any, context: Any = None) -> None:
        if LISTENERS:
            _tell(sql, len(parameters or ()), lambda: plain(cursor, sql, parameters, context))
        else:
            plain(cursor, sql, parameters, context)

    def do_executemany(cursor: Any, sql: str, parameters: Any, context: Any = None) -> None:
        count = sum(map(len, parameters))  # one set for each row; many rows in one VALUES have one set for all
        _tell(sql, count, lambda: many(cursor, sql, parameters, context))

    def do_execute_no_params(cursor: Any, sql: str, context: Any = None) -> None:
        _tell(sql, 0, lambda: bare(cursor, sql, context))

    dialect.do_execute = do_execute
    dialect.do_executemany = do_executemany
    dialect.do_execute_no_params = do_execute_no_params


def _tell(sql: str, count: int, run: Callable[[], None]) -> None:
    started = time.perf_counter()
    try:
        run()
    except Exception as error:
        notify(sql, count, time.perf_counter() - started, None, error)
        raise
    notify(sql, count, time.perf_counter() - started, None)
