"""The pytest plugin: the fixtures `app`, `client`, `async_client`, `live_url`, `db` and `sync_db`.

It is loaded wherever Quintet is installed, so it imports nothing of Quintet until a fixture is used, and nothing of
SQLAlchemy unless the app has a database.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from quintet.app import Application
    from quintet.db import Database, Session, SyncSession
    from quintet.testing.client import AsyncClient, Client


#: Where a test keeps what its requests asked again and again.
_REPEATS: pytest.StashKey[list[BaseException]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting `quintet_app` and the options for databases."""
    parser.addini("quintet_app", "The app under test, as module:name, for the fixtures of Quintet.", default="")
    group = parser.getgroup("quintet", "databases of Quintet")
    group.addoption(
        "--reuse-db", action="store_true", help="Keep the databases of tests, and use those that are there."
    )
    group.addoption("--create-db", action="store_true", help="Make the databases of tests anew, even with --reuse-db.")


def pytest_configure(config: pytest.Config) -> None:
    """Describe the markers."""
    config.addinivalue_line(
        "markers", "real_transactions: commit for good, and empty the tables afterwards, instead of one rolled-back one"
    )
    config.addinivalue_line("markers", "allow_n_plus_one(reason): let requests run the same query for row after row")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a test whose requests ran the same query for row after row, even where it saw only the 500."""
    result = yield
    for error in item.stash.get(_REPEATS, ()):
        raise error
    return result


def _async_fixture() -> Callable[[Any], Any]:
    """Return the decorator for asynchronous fixtures: pytest-asyncio's, or pytest's own, which anyio understands."""
    if find_spec("pytest_asyncio") is None:
        return pytest.fixture
    import pytest_asyncio

    return pytest_asyncio.fixture


@pytest.fixture
def app(pytestconfig: pytest.Config) -> Application:
    """The app under test: the setting `quintet_app`. Define a fixture of this name to use another."""
    target: str = pytestconfig.getini("quintet_app")
    module, _, name = target.partition(":")
    if not module:
        raise pytest.UsageError(
            'no app is named: write quintet_app = "module:app" into the settings of pytest, or a fixture `app`'
        )
    found: Any = importlib.import_module(module)
    for part in (name or "app").split("."):
        found = getattr(found, part)
    return found


@pytest.fixture
def client(app: Application, quintet_databases: dict[str, Database]) -> Iterator[Client]:
    """A client of the app, with its lifespan running."""
    from quintet.testing.client import Client

    with Client(app) as one:
        yield one


@_async_fixture()
async def async_client(app: Application, quintet_databases: dict[str, Database]) -> AsyncIterator[AsyncClient]:
    """An asynchronous client of the app, with its lifespan running."""
    from quintet.testing.client import AsyncClient

    async with AsyncClient(app) as one:
        yield one


@pytest.fixture
def live_url(app: Application, quintet_databases: dict[str, Database]) -> Iterator[str]:
    """The URL of the app on a server in a thread, for browsers."""
    from quintet.testing.live import live_server

    with live_server(app) as url:
        yield url


# -- databases --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def _quintet_made() -> Iterator[dict[Any, Any]]:
    """The databases of this run; each is made when a test first needs it."""
    made: dict[Any, Any] = {}
    yield made
    for one in made.values():
        one.drop()


@pytest.fixture
def quintet_databases(
    app: Application,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    _quintet_made: dict[Any, Any],
) -> Iterator[dict[str, Database]]:
    """The databases of the app by name, led to those of the tests: what a test does is taken back after it."""
    found: dict[str, Database] = dict(app.state.get("quintet.db") or {})
    if not found:
        yield found
        return
    from quintet.db.queries.events import listening
    from quintet.testing.db import factories
    from quintet.testing.db.databases import DatabaseForTests, url_for_tests

    factories.reset()
    node, options = request.node, request.config.option
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    with ExitStack() as stack:
        for name, database in found.items():
            key = (name, database.primary.url)
            if key not in _quintet_made:
                in_memory = not options.reuse_db or database.primary.is_memory
                folder = tmp_path_factory.getbasetemp() / "databases" / name if in_memory else None
                url = url_for_tests(database.primary.url, worker, folder)
                made = DatabaseForTests(url, database, keep=options.reuse_db, fresh=options.create_db)
                made.create(app)
                _quintet_made[key] = made
            made = _quintet_made[key]
            is_real = node.get_closest_marker("real_transactions") is not None
            stack.enter_context(made.committing(database) if is_real else made.transaction(database))
        watch = _watch(node)
        if watch is not None:
            stack.enter_context(listening(watch))
        yield found


def _watch(node: pytest.Item) -> Any:
    """Return what watches a test's requests for queries that repeat; None where the test allows them."""
    from quintet.db.queries.repeats import RepeatedQuery, RepeatWatch

    mark = node.get_closest_marker("allow_n_plus_one")
    if mark is not None:
        if not (mark.args or mark.kwargs.get("reason")):
            raise pytest.UsageError("say why: @pytest.mark.allow_n_plus_one(reason='…')")
        return None
    errors = node.stash[_REPEATS] = []

    def fail(found: RepeatedQuery) -> None:
        errors.append(found)
        raise found

    return RepeatWatch(fail)


def _database(databases: dict[str, Database]) -> Database:
    if not databases:
        raise pytest.UsageError("the app has no database: App(plugins=[Database(…)])")
    return databases.get("default") or next(iter(databases.values()))


@_async_fixture()
async def db(quintet_databases: dict[str, Database]) -> AsyncIterator[Session]:
    """A session on the test's transaction, which the app's handlers share."""
    from quintet.db import Session

    async with Session(_database(quintet_databases)) as session:
        yield session
    await _database(quintet_databases).dispose()


@pytest.fixture
def sync_db(quintet_databases: dict[str, Database]) -> Iterator[SyncSession]:
    """The same for tests that are not asynchronous."""
    from quintet.db import SyncSession

    with SyncSession(_database(quintet_databases)) as session:
        yield session


@pytest.fixture
def assert_queries() -> Any:
    """The context manager that counts statements: `with assert_queries(2): …`."""
    from quintet.testing.db import assert_queries

    return assert_queries


@pytest.fixture
def assert_max_queries() -> Any:
    """The context manager that limits statements: `with assert_max_queries(5): …`."""
    from quintet.testing.db import assert_max_queries

    return assert_max_queries
