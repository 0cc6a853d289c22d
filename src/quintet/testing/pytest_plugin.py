"""The pytest plugin: the fixtures `app`, `client`, `async_client` and `live_url`.

It is loaded wherever Quintet is installed, so it imports nothing of Quintet until a fixture is used.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from quintet.app import Application
    from quintet.testing.client import AsyncClient, Client


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting `quintet_app`."""
    parser.addini("quintet_app", "The app under test, as module:name, for the fixtures of Quintet.", default="")


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
def client(app: Application) -> Iterator[Client]:
    """A client of the app, with its lifespan running."""
    from quintet.testing.client import Client

    with Client(app) as one:
        yield one


@_async_fixture()
async def async_client(app: Application) -> AsyncIterator[AsyncClient]:
    """An asynchronous client of the app, with its lifespan running."""
    from quintet.testing.client import AsyncClient

    async with AsyncClient(app) as one:
        yield one


@pytest.fixture
def live_url(app: Application) -> Iterator[str]:
    """The URL of the app on a server in a thread, for browsers."""
    from quintet.testing.live import live_server

    with live_server(app) as url:
        yield url
