from collections.abc import Iterator
from pathlib import Path

import pytest
from app import BookmarkSettings, app

from quintet.testing import Client

NEW = {"url": "https://www.python.org", "title": "Python", "tags": ["code"]}


# --8<-- [start:fixture]
@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    settings = BookmarkSettings(database=tmp_path / "test.db")
    with Client(app) as client, client.override(BookmarkSettings, settings):
        yield client


# --8<-- [end:fixture]


# --8<-- [start:api]
def test_a_bookmark_is_added_and_found_by_its_tag(client: Client) -> None:
    answer = client.post("/api/bookmarks", json=NEW)
    assert answer.status_code == 201
    assert client.get(answer.headers["location"]).json() == {"id": 1, **NEW}
    assert client.get("/api/bookmarks?tag=code").json() == [{"id": 1, **NEW}]
    assert client.get("/api/bookmarks?tag=music").json() == []


def test_an_address_is_bookmarked_once(client: Client) -> None:
    client.post("/api/bookmarks", json=NEW)
    assert client.post("/api/bookmarks", json=NEW).status_code == 409
    assert len(client.get("/api/bookmarks").json()) == 1


def test_a_wrong_bookmark_says_what_is_wrong(client: Client) -> None:
    answer = client.post("/api/bookmarks", json={"url": "ftp://example.com"})
    assert answer.status_code == 422
    assert [e["loc"] for e in answer.json()["errors"]] == [
        ["body", "url"],
        ["body", "title"],
    ]


# --8<-- [end:api]


# --8<-- [start:page]
def test_the_form_keeps_what_was_typed(client: Client) -> None:
    answer = client.post("/", data={"url": "nonsense", "title": "<My> page"})
    assert answer.status_code == 422
    assert 'value="&lt;My&gt; page"' in answer.text


def test_a_right_form_leads_back_to_the_list(client: Client) -> None:
    answer = client.post(
        "/", data={"url": NEW["url"], "title": "Python"}, follow_redirects=True
    )
    assert '<a href="https://www.python.org">Python</a>' in answer.text


# --8<-- [end:page]
