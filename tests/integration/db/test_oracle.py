"""What can be tried for Oracle without a server: its SQL is compiled, its driver is asked, its errors are read."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import oracledb
import pytest
import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects import oracle
from sqlalchemy.engine import Engine
from sqlalchemy.schema import CreateIndex, CreateTable, DropTable

from quintet import App
from quintet.db import TLS, Database, PoolOptions, Session, SyncSession
from quintet.db.engines import connect_arguments, parse_url
from quintet.db.model import bases
from quintet.db.queries.checks import check_queries
from quintet.db.session import SyncSession as AnySession
from quintet.db.translate import answer_to
from quintet.testing import AsyncClient
from tests.integration.db import blog, test_mixins, test_rows_d, test_session_life, test_types

DIALECT = oracle.dialect()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - it has no types
MODULES = (blog, test_mixins, test_rows_d, test_session_life, test_types)


def test_every_table_and_index_of_the_data_suite_is_compiled() -> None:
    seen = 0
    for base in bases():
        base.registry.configure()
        for table in base.metadata.sorted_tables:
            if any(column.computed is not None and column.computed.persisted for column in table.columns):
                continue  # which Oracle does not know, and the docs say so; files that other tests import have some
            for statement in (CreateTable(table), DropTable(table), *map(CreateIndex, table.indexes)):
                assert str(statement.compile(dialect=DIALECT))
                seen += 1
    assert seen > 20


@contextmanager
def compiled_for_oracle() -> Generator[list[str], None, None]:
    """Compile whatever any engine executes for Oracle as well; give the SQL."""
    found: list[str] = []

    def compile_too(connection: Any, element: Any, *details: Any) -> None:
        if isinstance(element, sa.ClauseElement) and not isinstance(element, sa.TextClause):
            found.append(str(element.compile(dialect=DIALECT)))

    event.listen(Engine, "before_execute", compile_too)
    try:
        yield found
    finally:
        event.remove(Engine, "before_execute", compile_too)


async def test_every_statement_of_the_blog_is_compiled() -> None:
    database = Database("sqlite://")
    with compiled_for_oracle() as found:
        await database.create_all(blog.Blog)
        async with AsyncClient(blog.make_app(database)) as client:
            await client.post("/users", json={"name": "Ada"})
            for prefix in ("", "/sync"):
                body = {"slug": f"a{'b' * len(prefix)}", "title": "T", "body": "b"}
                assert (await client.post(f"{prefix}/articles", json=body)).status_code == 201
                assert (await client.patch(f"{prefix}/articles/{body['slug']}", json={"title": "U"})).status_code == 200
                assert (await client.get(f"{prefix}/articles")).status_code == 200
            assert (await client.get("/articles/a/author")).status_code == 200
            assert (await client.get("/export")).status_code == 200
        async with database.session() as db:
            await db.page(sa.select(blog.Article).order_by(blog.Article.id), page=2, size=1)
            async with db.savepoint():
                await db.delete(await db.one(sa.select(blog.Article).limit(1)))
        await database.drop_all(blog.Blog)
    await database.dispose()
    text = "\n".join(found)
    for words in (
        "CREATE TABLE",
        "DROP TABLE",
        "INSERT INTO article",
        "UPDATE article",
        "DELETE FROM article",
        "FETCH",
    ):
        assert words in text, words


def test_every_compiled_query_that_was_declared_is_built() -> None:
    own = {module.__file__ for module in MODULES}
    problems = check_queries([sa.make_url("oracle+oracledb_async://").get_dialect()()])
    assert [p for p in problems if p.where.rpartition(":")[0] in own] == []


def test_its_arguments_mean_the_same_as_with_other_drivers() -> None:
    url = parse_url("oracle://someone:secret@host:1521/?service_name=name")
    for driver in ("oracledb", "oracledb_async"):
        plain = connect_arguments(url, driver, PoolOptions(connect_timeout=3), TLS(mode="prefer"))[1]
        assert plain == {"tcp_connect_timeout": 3}
        tls = connect_arguments(url, driver, PoolOptions(), TLS(mode="verify"))[1]
        assert tls["protocol"] == "tcps"
        assert tls["ssl_context"].check_hostname


# The driver leaves the socket of a connection that failed to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_server_that_is_none_is_503_for_both_kinds() -> None:
    """The driver connects in thin mode, to something that hangs up; it is not taken for an answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            for _ in range(6):
                try:
                    listener.accept()[0].close()
                except OSError:
                    return

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        database = Database(f"oracle://a:b@127.0.0.1:{port}/?service_name=x", pool=PoolOptions(connect_timeout=2))
        app = App(plugins=[database], docs=False)

        @app.get("/")
        async def read(db: Session) -> int:
            return await db.one(sa.select(sa.text("1")))

        @app.get("/sync")
        def read_sync(db: SyncSession) -> int:
            return db.one(sa.select(sa.text("1")))

        async with AsyncClient(app) as client:
            for path in ("/", "/sync"):
                assert (await client.get(path)).status_code == 503
    assert oracledb.is_thin_mode()


def error_of(text: str, kind: type[Exception] = oracledb.DatabaseError) -> exc.DBAPIError:
    original = kind(text)
    found = exc.DBAPIError.instance(
        "INSERT INTO article (slug) VALUES (:1)", {}, original, oracledb.Error, dialect=DIALECT
    )  # pyright: ignore[reportCallIssue, reportArgumentType] - SQLAlchemy's overloads leave this one out
    assert isinstance(found, exc.DBAPIError)
    return found


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("ORA-00001: unique constraint (APP.UQ_ARTICLE_SLUG) violated", 409),
        ("ORA-02292: integrity constraint (APP.FK_ARTICLE_AUTHOR_ID_USER) violated - child record found", 409),
        ("ORA-03113: end-of-file on communication channel", 503),
        ("DPY-4011: the database or network closed the connection", 503),
        ("ORA-12541: Cannot connect. No listener at host", 503),
        ("ORA-00060: deadlock detected while waiting for resource", 503),
        ("ORA-08177: can't serialize access for this transaction", 503),
        ('ORA-12899: value too large for column "APP"."ARTICLE"."SLUG" (actual: 60, maximum: 50)', 422),
        ("ORA-01438: value larger than specified precision allowed for this column", 422),
        ("ORA-00942: table or view does not exist", None),
    ],
)
def test_what_oracle_says_is_answered(text: str, status: int | None) -> None:
    database = Database("oracle://a@127.0.0.1/?service_name=x")
    answer = answer_to(error_of(text), AnySession(database))
    assert (answer.status if answer is not None else None) == status
