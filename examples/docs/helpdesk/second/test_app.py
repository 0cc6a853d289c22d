import asyncio
import os
from collections.abc import Iterator

import pytest

os.environ["DATABASE_URL"] = "sqlite://"  # before the app is made

from app import app, database

from quintet.testing import Client


@pytest.fixture
def client() -> Iterator[Client]:
    asyncio.run(database.drop_all())
    asyncio.run(database.create_all())
    with Client(app) as client:
        yield client


def test_a_ticket_opened_by_the_form_is_listed(client: Client) -> None:
    form = {"subject": "Printer on fire", "messages[0].text": "Smoke!"}
    assert client.post("/new", data=form, follow_redirects=False).is_redirect
    assert "Printer on fire</a>, open, 1 messages" in client.get("/").text
    assert "Smoke!" in client.get("/1").text


def test_a_wrong_ticket_is_not_saved(client: Client) -> None:
    assert client.post("/new", data={"subject": "Hi"}).status_code == 422
    assert client.get("/tickets").json()["items"] == []


def test_replies_join_the_conversation(client: Client) -> None:
    client.post("/tickets", json={"subject": "Printer on fire"})
    client.post("/1", data={"text": "Is it still burning?"})
    assert "Is it still burning?" in client.get("/1").text
