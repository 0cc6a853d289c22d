"""What a driver does for compiled queries; `dbapi` is always the connection as SQLAlchemy's pool holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence

__all__ = ["AsyncDriver", "SyncDriver", "translated"]


def translated(dbapi: Any, error: Exception) -> Exception:
    """Return an error of a driver as SQLAlchemy's adapter around its connection raises it."""
    try:
        dbapi._handle_exception(error)
    except Exception as found:  # noqa: BLE001 - that it raises is what it is for
        return found
    return error


class AsyncDriver(Protocol):
    """Runs statements on the connection of an asynchronous driver."""

    #: Whether `settle` makes a connection usable again whose caller was cancelled; it is closed otherwise.
    settles: bool
    #: Whether a read of its own leaves a transaction that `finish` has to end.
    lingers: bool
    #: Whether it is a `LeanDriver`.
    leans: bool

    def usable(self, dbapi: Any) -> bool:
        """Return whether the connection is open, as far as is known without asking the server."""
        ...

    def rows(self, dbapi: Any, sql: str, args: Any, limit: int, plan: Any) -> Awaitable[Sequence[Any]]:
        """Run a statement and return its rows; with `limit` 1 the first alone may be fetched.

        As long as the plan has no decoder, what the driver says of the columns is put into `plan.described`.
        """
        ...

    async def column_types(self, dbapi: Any, sql: str, found: Sequence[Any] | None) -> Sequence[Any]:
        """Return the driver's codes of the columns, from what it says of them; once per plan."""
        ...

    async def execute(self, dbapi: Any, sql: str, args: Any) -> int:
        """Run a statement and return the number of rows it changed."""
        ...

    async def execute_many(self, dbapi: Any, sql: str, sets: list[Any]) -> None:
        """Run a statement once for each set of arguments."""
        ...

    def stream(
        self, dbapi: Any, sql: str, args: Any, size: int
    ) -> AsyncIterator[tuple[Sequence[Any], Sequence[Any] | None]]:
        """Yield rows in batches, with what the driver says of their columns; called inside a transaction."""
        ...

    async def begin(self, dbapi: Any) -> bool:
        """Make sure that the transaction SQLAlchemy has opened has begun on the server; return whether it had not."""
        ...

    async def restart(self, dbapi: Any) -> bool:
        """Begin a transaction again in which nothing has happened yet; return whether that is possible."""
        ...

    async def settle(self, dbapi: Any) -> None:
        """Stop what a cancelled caller left running, and wait for its end."""
        ...

    async def finish(self, dbapi: Any) -> None:
        """Leave no transaction behind after a statement or a stream of its own."""
        ...

    def error(self, dbapi: Any, error: Exception) -> Exception:
        """Return an error of the driver as an error of the DBAPI that SQLAlchemy knows."""
        ...

    def stale(self, error: Exception) -> bool:
        """Return whether a prepared statement no longer fits the schema."""
        ...


class LeanDriver(AsyncDriver, Protocol):
    """One through which compiled statements begin and commit transactions, without SQLAlchemy's session."""

    def is_clean(self, dbapi: Any) -> bool:
        """Return whether the connection is open and in no transaction."""
        ...

    def open(self, dbapi: Any) -> None:
        """Get ready for a transaction that writes."""
        ...

    async def commit(self, dbapi: Any) -> None:
        """Commit the transaction that `begin` has begun, if any."""
        ...


class SyncDriver(Protocol):
    """Runs statements on the connection of a synchronous driver."""

    def usable(self, dbapi: Any) -> bool:
        """Return whether the connection is open, as far as is known without asking the server."""
        ...

    def prepare(self, dbapi: Any) -> None:
        """Get ready for a statement of its own: what it does takes effect without a commit."""
        ...

    def rows(self, dbapi: Any, sql: str, args: Any) -> tuple[Sequence[Any], Sequence[Any]]:
        """Run a statement and return its rows, and the codes of their columns."""
        ...

    def execute(self, dbapi: Any, sql: str, args: Any) -> int:
        """Run a statement and return the number of rows it changed."""
        ...

    def execute_many(self, dbapi: Any, sql: str, sets: list[Any]) -> None:
        """Run a statement once for each set of arguments."""
        ...

    def stream(self, dbapi: Any, sql: str, args: Any, size: int) -> Iterator[tuple[Sequence[Any], Sequence[Any]]]:
        """Yield what `rows` returns, in batches, without holding them all; called inside a transaction."""
        ...

    def finish(self, dbapi: Any) -> None:
        """Leave no transaction behind after a statement of its own."""
        ...

    def stale(self, error: Exception) -> bool:
        """Return whether a prepared statement no longer fits the schema."""
        ...
