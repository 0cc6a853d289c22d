"""Databases to migrate, tables of every kind, and revisions written by hand."""

from __future__ import annotations

import datetime
import enum
import os
import signal
import textwrap
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Engine

from quintet.db.migrations import MigrationTarget
from quintet.db.migrations.compare import compare
from quintet.db.migrations.connection import connect
from quintet.db.migrations.describe import describe
from quintet.db.migrations.files import write
from quintet.db.naming import CONVENTION
from quintet.db.types import JSONOf, UTCDateTime, big_integer

DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}


def with_driver(url: str) -> str:
    """Give a URL a synchronous driver."""
    scheme, _, rest = url.partition("://")
    return f"{DRIVERS.get(scheme, scheme)}://{rest}"


def empty(url: str) -> None:
    """Drop everything in a database."""
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).unlink(missing_ok=True)
        return
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        if url.startswith("postgresql"):
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
        else:
            name = engine.url.database
            connection.exec_driver_sql(f"DROP DATABASE `{name}`")
            connection.exec_driver_sql(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")


class Mood(enum.Enum):
    happy = "happy"
    sad = "sad"


def _status(*values: str) -> sa.Enum:
    return sa.Enum(*values, native_enum=False, length=20, create_constraint=True, name="status")


def every_kind(dialect: str) -> sa.MetaData:
    """Return tables with every kind of column, default, constraint and index that a model can ask for."""
    metadata = sa.MetaData(naming_convention=CONVENTION)
    sa.Table(
        "company",
        metadata,
        sa.Column("id", big_integer(), primary_key=True),
        sa.Column("name", sa.String(50), unique=True, nullable=False, comment="what it's called"),
        comment="firms",
    )
    user = sa.Table(
        "user",
        metadata,
        sa.Column("id", big_integer(), primary_key=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("bio", sa.Text),
        sa.Column("age", sa.Integer, server_default="18"),
        sa.Column("small", sa.SmallInteger, server_default=sa.text("0")),
        sa.Column("price", sa.Numeric(12, 2), server_default="0.00"),
        sa.Column("rate", sa.Double, server_default="1.5"),
        sa.Column("weight", sa.Float),
        sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("dead", sa.Boolean(create_constraint=True, name="dead")),
        sa.Column("born", sa.Date),
        sa.Column("rises", sa.Time),
        sa.Column("created", UTCDateTime, nullable=False),
        sa.Column("stamp", sa.DateTime, server_default=sa.func.now()),
        sa.Column("took", sa.Interval),
        sa.Column("token", sa.Uuid),
        sa.Column("data", JSONOf(dict)),
        sa.Column("raw", sa.JSON),
        sa.Column("picture", sa.LargeBinary),
        sa.Column("tags", JSONOf(list).with_variant(postgresql.ARRAY(sa.Text()), "postgresql")),
        sa.Column("mood", sa.Enum(Mood, name="mood"), server_default="happy"),
        sa.Column("status", _status("draft", "pub'l"), server_default="draft"),
        sa.Column("nick", sa.String(20), server_default="it's"),
        sa.Column("order", sa.Integer),
        sa.Column("manager_id", sa.ForeignKey("user.id", ondelete="SET NULL")),
        sa.Column("company_id", sa.ForeignKey("company.id", ondelete="CASCADE"), index=True),
        sa.CheckConstraint("age >= 0 AND age < 200", name="age"),
        sa.CheckConstraint("length(name) > 2 AND name NOT LIKE 'x%'", name="name"),
        sa.CheckConstraint(sa.column("price").between(0, 100), name="price"),
        sa.CheckConstraint(sa.column("nick").in_(["a", "b", "it's"]), name="nick"),
        sa.UniqueConstraint("name", "company_id"),
    )  # fmt: skip
    if dialect != "portable":
        user.append_column(sa.Column("twice", sa.Integer, sa.Computed("age * 2", persisted=True)))
    sa.CheckConstraint(user.c["order"] > 0, name="order")
    sa.Index("ix_user_adult", user.c.name, postgresql_where=user.c.age > 17, sqlite_where=user.c.age > 17)
    sa.Index("ix_user_pair", user.c.born.desc(), user.c.rises)
    if dialect in {"sqlite", "postgresql"}:
        sa.Index("ix_user_lower", sa.func.lower(user.c.name), unique=True)
    return metadata


def after_changes(dialect: str) -> sa.MetaData:
    """Return the tables of `every_kind` after a year: each kind of change is there."""
    metadata = sa.MetaData(naming_convention=CONVENTION)
    sa.Table(
        "firm",
        metadata,
        sa.Column("id", big_integer(), primary_key=True),
        sa.Column("name", sa.String(80), nullable=False, comment="other"),
    )
    user = sa.Table(
        "user",
        metadata,
        sa.Column("id", big_integer(), primary_key=True),
        sa.Column("full_name", sa.String(120), nullable=False),
        sa.Column("bio", sa.String(30), nullable=False, server_default=""),
        sa.Column("age", sa.BigInteger),
        sa.Column("price", sa.Numeric(10, 2), server_default="0.00"),
        sa.Column("mood", sa.Enum("happy", "sad", "soso", name="mood"), server_default="sad"),
        sa.Column("status", _status("draft", "gone"), server_default="draft"),
        sa.Column("firm_id", sa.ForeignKey("firm.id", ondelete="RESTRICT"), index=True),
        sa.Column("extra", sa.Uuid),
        sa.CheckConstraint("age >= 0 AND age < 300", name="age"),
        sa.CheckConstraint("length(full_name) > 2 AND full_name NOT LIKE 'x%'", name="name"),
        sa.UniqueConstraint("full_name", "firm_id"),
    )  # fmt: skip
    sa.Index("ix_user_adult", user.c.full_name, postgresql_where=user.c.age > 20, sqlite_where=user.c.age > 20)
    if dialect in {"sqlite", "postgresql"}:
        sa.Index("ix_user_lower", sa.func.lower(user.c.full_name), unique=True)
    return metadata


def differences(target: MigrationTarget) -> list[str]:
    """Return what separates a database from its tables."""
    with connect(target, reading=True) as connection:
        found = compare(connection, target)
    return describe(found.operations) + found.notes


def add(
    target: MigrationTarget, revision: str, down: str | None, upgrade: str, downgrade: str = "", **more: Any
) -> Path:
    """Write a revision by hand."""
    return write(
        target.folder,
        message=f"step {revision}",
        down=down,
        revision=revision,
        upgrade=textwrap.dedent(upgrade),
        downgrade=textwrap.dedent(downgrade),
        now=datetime.datetime(2026, 1, 1, 12, len(list(target.folder.glob("*.py"))), tzinfo=datetime.UTC),
        **more,
    )


def query(target: MigrationTarget, sql: str) -> Any:
    """Return what a query gives: one value, or None."""
    with connect(target, reading=True) as connection:
        return connection.exec_driver_sql(sql).scalar()


def tables(target: MigrationTarget) -> set[str]:
    with connect(target, reading=True) as connection:
        return set(sa.inspect(connection).get_table_names())


def in_child(work: Callable[[], object], *, kill_at: int | None = None) -> int:
    """Do work in a child, killed by SIGKILL before its nth statement that changes something; return its status."""
    pid = start_child(work, kill_at=kill_at)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def start_child(work: Callable[[], object], *, kill_at: int | None = None) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: the child uses none of them
        pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        if kill_at is not None:
            _kill_before(kill_at)
        work()
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


_READING = {"SELECT", "PRAGMA", "SHOW", "SET", "DESCRIBE"}


def _kill_before(number: int) -> None:
    seen = 0

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        nonlocal seen
        seen += statement.split(None, 1)[0].upper() not in _READING
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", count)


def with_metadata(target: MigrationTarget, metadata: sa.MetaData) -> MigrationTarget:
    return replace(target, metadata=metadata)
