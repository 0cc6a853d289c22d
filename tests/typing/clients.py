"""What type checkers see of the test clients; checked by basedpyright and mypy, never run."""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, assert_type

import httpx2
import pytest

from quintet import App, Settings
from quintet.testing import AsyncClient, Client


class ShopSettings(Settings, section="shop"):
    currency: str = "EUR"


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(App(settings=[ShopSettings])) as client:
        assert_type(client, Client)
        yield client


def test_something(client: Client) -> None:
    response = client.get("/", params={"a": 1})
    assert_type(response, httpx2.Response)
    assert_type(response.status_code, int)
    with client.override(ShopSettings, ShopSettings(currency="CHF")):
        client.post("/", json={})
    client.get("/", jsn={})  # type: ignore[call-arg]  # no such option


async def test_something_async() -> None:
    async with AsyncClient(App(), base_url="http://shop.example") as client:
        assert_type(client, AsyncClient)
        assert_type(await client.get("/"), httpx2.Response)


Client("app")  # type: ignore[arg-type]  # an app, not its name
anything: Any = ShopSettings(curency="CHF")  # type: ignore[call-arg]  # no such setting
