"""asyncpg: BEGIN travels with the first statement of a transaction, instead of a round trip of its own.

It is written to the connection as messages of the extended protocol without a Sync, so that the server answers both
together, and asyncpg, which reads past the answers to messages that it did not send, hears of the statement alone. What
fails in BEGIN is the statement's error; a ROLLBACK that follows is right in either case.
"""

# pyright: reportPrivateUsage=false
from __future__ import annotations

from functools import lru_cache
from typing import Any

from asyncpg.transaction import TransactionState
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_connection, AsyncAdapt_asyncpg_ss_cursor

__all__ = ["arrived", "begin_early"]


async def arrived(connection: Any) -> None:
    """Have the server answer a BEGIN that is on its way: asyncpg opens cursors in transactions that it knows of."""
    if connection._transaction is not None and not connection._connection.is_in_transaction():
        await connection._connection.execute(";")


class _StreamingCursor(AsyncAdapt_asyncpg_ss_cursor):
    __slots__ = ()

    async def _prepare_and_execute(self, operation: Any, parameters: Any) -> None:
        connection: Any = self._adapt_connection
        async with connection._execute_mutex:
            if connection._transaction is None:
                await connection._start_transaction()
            await arrived(connection)
        await super()._prepare_and_execute(operation, parameters)  # pyright: ignore[reportUnknownMemberType] - it has no types


class _EarlyConnection(AsyncAdapt_asyncpg_connection):
    """SQLAlchemy's adapter of a connection, whose transactions begin without waiting."""

    __slots__ = ()
    _ss_cursor_cls = _StreamingCursor

    async def _start_transaction(self) -> None:
        adapter: Any = self
        isolation, raw = adapter.isolation_level, adapter._connection
        if isolation == "autocommit":
            return
        if (
            raw.is_closed()
            or raw._top_xact is not None
            or raw.is_in_transaction()
            or raw._protocol._is_cancelling()  # the answer to what was cancelled is still on its way
        ):
            await super()._start_transaction()  # pyright: ignore[reportUnknownMemberType] - it has no types
            return
        transaction = raw.transaction(isolation=isolation, readonly=self.readonly, deferrable=self.deferrable)
        raw._transport.write(_messages(isolation, self.readonly, self.deferrable))
        raw._top_xact = transaction
        transaction._state = TransactionState.STARTED
        adapter._transaction = transaction


@lru_cache
def _messages(isolation: str | None, readonly: bool, deferrable: bool) -> bytes:
    """Return Parse, Bind and Execute for BEGIN, unnamed."""
    text = "BEGIN"
    if isolation is not None:
        text += f" ISOLATION LEVEL {isolation.replace('_', ' ').upper()}"
    if readonly:
        text += " READ ONLY"
    if deferrable:
        text += " DEFERRABLE"
    parse = b"\0" + text.encode() + b"\0" + bytes(2)  # no name, and no types of parameters
    bind = b"\0\0" + bytes(6)  # no names; no formats, values and formats of results
    execute = b"\0" + bytes(4)  # no name, and no limit
    return b"".join(
        kind + (len(body) + 4).to_bytes(4) + body for kind, body in ((b"P", parse), (b"B", bind), (b"E", execute))
    )


def begin_early(connection: Any) -> None:
    """Have the transactions of a connection that was just opened begin with their first statement."""
    if type(connection) is AsyncAdapt_asyncpg_connection:
        connection.__class__ = _EarlyConnection
