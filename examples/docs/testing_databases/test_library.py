import pytest
from library import Author, Book, author_named

from quintet.db import Session, SyncSession
from quintet.testing import AsyncClient, Client
from quintet.testing.db import (
    Factory,
    assert_queries,
    build,
    make,
    make_many,
)


# --8<-- [start:shared]
async def test_an_author_is_added(
    async_client: AsyncClient, db: Session
) -> None:
    await make(db, Author, name="Ada")
    again = await async_client.post("/authors", json={"name": "Ada"})
    assert again.status_code == 409
    await async_client.post("/authors", json={"name": "Bo"})
    assert (await db.one(author_named("Bo"))).name == "Bo"
    assert (await async_client.get("/authors/Bo")).status_code == 200


def test_the_table_is_empty_again(client: Client, sync_db: SyncSession) -> None:
    assert client.get("/authors/Ada").status_code == 404
    make(sync_db, Author, name="Ada")
    assert client.get("/authors/Ada").status_code == 200


# --8<-- [end:shared]


# --8<-- [start:factories]
def test_books_are_made_up(sync_db: SyncSession) -> None:
    book = make(sync_db, Book, title="Notes")
    assert book.title == "Notes"
    assert len(book.isbn) == 13
    assert book.author.name  # the author was made along

    ada = make(sync_db, Author, name="Ada")
    series = Factory(Book, author=ada, title=lambda n: f"Part {n}")
    assert len(series.make_many(sync_db, 3)) == 3

    assert build(Book).id is None  # not saved


# --8<-- [end:factories]


# --8<-- [start:counted]
def test_the_list_asks_twice(client: Client, sync_db: SyncSession) -> None:
    make_many(sync_db, Book, 10)
    with assert_queries(2):
        client.get("/books")


# --8<-- [end:counted]


# --8<-- [start:repeated]
@pytest.mark.allow_n_plus_one(reason="a page shows ten books")
def test_the_slow_list(client: Client, sync_db: SyncSession) -> None:
    make_many(sync_db, Book, 10)
    assert len(client.get("/books/slow").json()) == 10


# --8<-- [end:repeated]


# --8<-- [start:real]
@pytest.mark.real_transactions
def test_with_real_commits(client: Client) -> None:
    client.post("/authors", json={"name": "Ada"})
    assert client.get("/authors/Ada").status_code == 200


# --8<-- [end:real]
