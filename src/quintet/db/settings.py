"""Settings of the data layer: `DATABASE_URL` and its neighbours."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from quintet.config.secret import Secret
from quintet.config.settings import Settings


class DatabaseSettings(Settings, section="database"):
    """The database of an app. Times are seconds."""

    #: Where it is: `sqlite:///app.db`, `postgresql://user:password@host/name`, `mysql://…`, `oracle://…`.
    url: Secret | None = None
    #: Copies that GET and HEAD read from.
    replicas: tuple[Secret, ...] = ()
    #: Connections kept open, each opened when it is first needed.
    pool_size: Annotated[int, Meta(ge=1)] = 20
    #: Connections beyond those, closed after use: opening one takes as long as ten queries.
    pool_overflow: Annotated[int, Meta(ge=0)] = 0
    #: Time a request waits for a connection before it is answered 503.
    pool_timeout: Annotated[float, Meta(gt=0)] = 5.0
    #: Age at which a connection is replaced.
    pool_recycle: Annotated[float, Meta(gt=0)] = 1800.0
    #: Time to connect.
    connect_timeout: Annotated[float, Meta(gt=0)] = 5.0
    #: Whether PostgreSQL keeps statements that connections have prepared; `false` behind a PgBouncer that pools
    #: transactions and does not know them.
    prepared_statements: bool = True
    #: `require` encrypts, `verify` checks the server's certificate too.
    tls: Literal["off", "prefer", "require", "verify"] = "prefer"
    #: The file of the authorities that `verify` trusts; the system's when empty.
    tls_ca: str = ""
    #: Print every statement.
    echo: bool = False
