"""What is done in the thread of an SQLite connection, and to it: the write lock is taken, statements are stopped."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any

#: Milliseconds that a writer waits for others, and those after which it begins to wait anew.
TIMEOUT, _LOOK = 5000, 50
#: Seconds until a connection is interrupted again.
_AGAIN = 0.005


def take_lock(raw: sqlite3.Connection, given_up: threading.Event | None = None) -> None:
    """Begin a transaction that writes.

    Whoever waits for long is asked by SQLite to look ten times a second alone, while those who have just come look a
    hundred times: of many writers a few would never have it. Here all begin to wait anew again and again.

    Args:
        raw: the connection.
        given_up: set by who does not wait any more.

    Raises:
        sqlite3.OperationalError: the lock did not come free in time, or nobody waits for it any more.
    """
    end = time.monotonic() + TIMEOUT / 1000
    raw.execute(f"PRAGMA busy_timeout={_LOOK}")
    try:
        while True:
            try:
                raw.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not is_busy or time.monotonic() > end or (given_up is not None and given_up.is_set()):
                    raise
            else:
                return
    finally:
        raw.execute(f"PRAGMA busy_timeout={TIMEOUT}")


def stop_statements(driver: Any, last: Callable[[], Any], told: asyncio.Future[Any] | None = None) -> None:
    """Interrupt what the thread of an aiosqlite connection runs, or is about to run, and then call `last` there.

    Interrupting does nothing to a statement that the thread has not begun, so it is repeated until none is left.

    Args:
        driver: the connection of aiosqlite.
        last: what the thread calls when every statement has ended; no interruption reaches it.
        told: is given what `last` returns or raises.
    """
    raw: sqlite3.Connection = driver._connection
    lock = threading.Lock()
    ended = False

    def end() -> Any:
        nonlocal ended
        with lock:
            ended = True
        return last()

    def interrupt() -> None:
        with lock:
            if ended:
                return
            try:
                raw.interrupt()
            except sqlite3.ProgrammingError:  # it was closed before
                return
        if loop is not None:
            loop.call_later(_AGAIN, interrupt)

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # the connection is collected, and nobody waits for it
        loop = None
    driver._tx.put_nowait((told, end))
    interrupt()
