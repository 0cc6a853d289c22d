"""Several databases, copies to read from, and the checks of their settings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import pytest
from sqlalchemy import MetaData, inspect, select, text

from quintet import App, ConfigurationError, Secret
from quintet.config import load_settings
from quintet.db import (
    TLS,
    Database,
    DatabaseSettings,
    Mapped,
    Model,
    PoolOptions,
    Session,
    SyncSession,
    Use,
    many_to_many,
    primary_key,
)
from quintet.db.engines import connect_arguments, parse_url
from quintet.testing import AsyncClient


class Main(Model, database="default"):
    pass


class Reporting(Model, database="reports"):
    pass


class Order(Main):
    id: Mapped[int] = primary_key()


class Report(Reporting):
    id: Mapped[int] = primary_key()


async def test_models_are_found_in_their_database(tmp_path: Path) -> None:
    main = Database(f"sqlite:///{tmp_path}/main.db")
    reports = Database(f"sqlite:///{tmp_path}/reports.db", name="reports")
    app = App(plugins=[main, reports])
    await main.create_all(Main)
    await reports.create_all(Reporting)

    @app.post("/")
    async def both(db: Session) -> None:
        db.add(Order())
        db.add(Report())

    @app.get("/reports")
    async def count(db: Annotated[Session, Use("reports")]) -> int:
        return await db.one(select(text("count(*) FROM report")))

    @app.get("/orders")
    def orders(db: SyncSession) -> int:
        return len(db.many(select(Order))) * 10 + len(db.many(select(Report)))

    async with AsyncClient(app) as client:
        assert (await client.post("/")).status_code == 204
        assert (await client.get("/reports")).json() == 1
        assert (await client.get("/orders")).json() == 11


class Papers(Model, database="archive"):
    pass


class Photos(Model, database="archive"):
    pass


class Paper(Papers):
    id: Mapped[int] = primary_key()
    tags: Mapped[list[PaperTag]] = many_to_many()


class PaperTag(Papers):
    id: Mapped[int] = primary_key()


class Photo(Photos):
    id: Mapped[int] = primary_key()


async def test_the_tables_of_a_database_are_those_of_every_base_in_it(url: str) -> None:
    archive = Database(url, name="archive")

    async def tables() -> set[str]:
        async with archive.engine.connect() as connection:
            names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        return set(names) & {"paper", "paper_tag", "paper_paper_tag", "photo", "order", "report"}

    async with archive.engine.begin() as connection:
        for base in (Main, Reporting):
            await connection.run_sync(base.metadata.drop_all)
    try:
        await archive.create_all()
        assert await tables() == {"paper", "paper_tag", "paper_paper_tag", "photo"}
        await archive.drop_all(Papers)
        assert await tables() == {"photo"}
        await archive.drop_all()
        assert await tables() == set()
    finally:
        await archive.dispose()


async def test_a_model_of_a_database_that_is_not_there_says_so() -> None:
    database = Database("sqlite://")
    with database.sync_session() as db, pytest.raises(LookupError, match="a model lives in the database 'reports'"):
        db.many(select(Report))


async def test_get_reads_from_copies_and_all_else_from_the_primary(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/a.db", replicas=[f"sqlite:///{tmp_path}/b.db"])
    copy = Database(f"sqlite:///{tmp_path}/b.db")
    await database.create_all(Main)
    await copy.create_all(Main)
    app = App(plugins=[database])

    async def count(db: Session) -> int:
        return await db.one(select(text('count(*) FROM "order"')))

    app.get("/read")(count)
    app.post("/write")(count)

    @app.get("/primary")
    async def primary(db: Annotated[Session, Use(write=True)]) -> int:
        return await count(db)

    async with database.session() as db:
        db.add(Order())
    async with AsyncClient(app) as client:
        assert (await client.get("/read")).json() == 0
        assert (await client.post("/write")).json() == 1
        assert (await client.get("/primary")).json() == 1
    await copy.dispose()


async def test_ping_answers(database: Database) -> None:
    await database.ping()


def test_the_url_comes_from_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:password@db/shop")
    monkeypatch.setenv("DATABASE_POOL_SIZE", "3")
    database = Database()
    assert database.dialect == "postgresql"
    assert database.primary.pool.size == 3
    assert "password" not in repr(database)
    monkeypatch.delenv("DATABASE_URL")
    with pytest.raises(ConfigurationError, match="set DATABASE_URL"):
        Database()


def test_a_second_database_has_settings_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class ReportsSettings(DatabaseSettings, section="reports"):
        pass

    def reports() -> Database:
        return Database(name="reports", settings=load_settings(ReportsSettings)[ReportsSettings])

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_REPLICAS", "sqlite:///copy.db")
    with pytest.raises(ConfigurationError, match=r"(?s)'reports' has no URL.* below \[reports\].* set REPORTS_URL"):
        reports()
    monkeypatch.setenv("REPORTS_URL", "sqlite:///reports.db")
    assert reports().primary.url.database == "reports.db"
    assert reports().replicas == []
    assert Database("sqlite:///other.db", name="other").replicas == []
    assert len(Database("sqlite:///app.db").replicas) == 1


async def test_a_parameter_names_the_database_that_it_gets() -> None:
    app = App(plugins=[Database("sqlite://"), Database("sqlite://", name="reports")])

    @app.get("/")
    async def names(one: Database, other: Annotated[Database, Use("reports")]) -> list[str]:
        return [one.label, other.label]

    async with AsyncClient(app) as client:
        assert (await client.get("/")).json() == ["default", "reports"]

    @app.get("/lost")
    async def lost(database: Annotated[Database, Use("repots")]) -> None: ...  # pyright: ignore[reportUnusedFunction]

    with pytest.raises(ConfigurationError, match=r"asks for the database 'repots'; there is 'default', 'reports'"):
        _ = app.dispatcher


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nonsense", "cannot be read"),
        ("postgresql://host:port/db", "cannot be read"),
        ("mongodb://host/db", "the database 'mongodb' is not known"),
        ("postgresql+nodriver://host/db", "nodriver"),
    ],
)
def test_a_wrong_url_is_a_problem_that_shows_no_password(url: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        Database(url)


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("postgresql://h/d", "asyncpg", "quintet[postgres]"),
        ("mysql://h/d", "pymysql", "quintet[mysql]"),
        ("oracle://h/d", "oracledb", "quintet[oracle]"),
    ],
)
def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch, url: str, module: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError) as caught:
        Database(url)
    assert f"pip install '{extra}'" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "both"),
    [
        ("sqlite:///a.db", ("sqlite+aiosqlite", "sqlite+pysqlite")),
        ("postgres://h/d", ("postgresql+asyncpg", "postgresql+psycopg")),
        ("postgresql+psycopg://h/d", ("postgresql+psycopg", "postgresql+psycopg")),
        ("mysql://h/d", ("mysql+asyncmy", "mysql+pymysql")),
        ("mariadb://h/d", ("mariadb+asyncmy", "mariadb+pymysql")),
        ("oracle://h/?service_name=d", ("oracle+oracledb_async", "oracle+oracledb")),
    ],
)
async def test_each_database_has_its_drivers(url: str, both: tuple[str, str]) -> None:
    database = Database(url, settings=DatabaseSettings())
    assert (database.engine.url.drivername, database.sync_engine.url.drivername) == both


@pytest.mark.parametrize(
    ("url", "message", "fix"),
    [
        (
            "postgresql+psycopg2://h/d",
            "asyncpg for `async def` and psycopg for `def`",
            "write postgresql://… without a",
        ),
        (
            "postgresql+nonsense://h/d",
            "asyncpg for `async def` and psycopg for `def`",
            "write postgresql://… without a",
        ),
        ("mysql+psycopg://h/d", "asyncmy for `async def` and pymysql for `def`", "write mysql://… without a driver"),
        ("sqlite+other:///d", "aiosqlite for `async def` and sqlite3 for `def`", "write sqlite:///… without a driver"),
        ("mysql+aiomysql://h/d", "mysql+aiomysql needs aiomysql, which is not installed", "pip install aiomysql, or"),
    ],
)
def test_a_driver_that_is_not_ours_is_not_looked_for_in_an_extra(url: str, message: str, fix: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Database(url)
    (problem,) = caught.value.problems
    assert problem.id == "database.driver"
    assert message in problem.message
    assert problem.fix.startswith(fix)


def test_tls_means_the_same_for_every_driver() -> None:
    pool, verify = PoolOptions(), TLS(mode="verify")

    def arguments(url: str, driver: str, tls: TLS) -> dict[str, object]:
        return connect_arguments(parse_url(url), driver, pool, tls)[1]

    assert arguments("postgresql://h/d", "psycopg", verify) == {
        "connect_timeout": 5, "sslmode": "verify-full", "sslrootcert": "system",
    }  # fmt: skip
    assert arguments("postgresql://h/d?sslmode=require", "asyncpg", verify)["ssl"] == "require"
    assert arguments("postgresql://h/d", "asyncpg", TLS(mode="off"))["ssl"] is False
    for driver, key in (("asyncpg", "ssl"), ("asyncmy", "ssl"), ("pymysql", "ssl"), ("oracledb", "ssl_context")):
        context = arguments("postgresql://h/d", driver, verify)[key]
        assert context.check_hostname is True  # type: ignore[attr-defined]
        lax = arguments("postgresql://h/d", driver, TLS(mode="require"))[key]
        assert lax.check_hostname is False  # type: ignore[attr-defined]


def test_settings_hold_secrets() -> None:
    settings = DatabaseSettings(url=Secret("sqlite://"))
    assert Database(settings=settings).dialect == "sqlite"


async def test_create_all_knows_bases_with_metadata_of_their_own(url: str) -> None:
    class Apart(Model, database="apart"):
        """The models of a database."""

    class Below(Apart):
        """A base as SQLAlchemy's users write it."""

        __abstract__ = True
        metadata = MetaData()

    class Leaf(Below):
        __tablename__ = "leaf_of_its_own_metadata"
        id: Mapped[int] = primary_key()

    database = Database(url, name="apart")
    try:
        await database.create_all()
        async with database.engine.connect() as connection:
            assert await connection.run_sync(lambda found: inspect(found).has_table(Leaf.__tablename__))
        await database.drop_all()
    finally:
        await database.dispose()
