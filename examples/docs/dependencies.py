from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from quintet import App, Depends, Header, NotFound, Query, Struct, Unauthorized

app = App()


class User(Struct):
    name: str


# --8<-- [start:database]
class Database:
    """Stands for a pool of connections."""

    def __init__(self) -> None:
        self.users = {"ada": User(name="Ada"), "bo": User(name="Bo")}
        self.is_open = True


async def open_database() -> AsyncIterator[Database]:
    database = Database()
    yield database
    database.is_open = False


app.provide(Database, open_database, scope="app")


@app.get("/users/{name}")
async def user(name: str, database: Database) -> User:
    if name not in database.users:
        raise NotFound(f"there is no user {name!r}")
    return database.users[name]


# --8<-- [end:database]


# --8<-- [start:depends]
async def find_user(
    database: Database, authorization: Header[str] = ""
) -> User:
    _, _, name = authorization.partition("Bearer ")
    if name not in database.users:
        raise Unauthorized(
            "give a token", headers={"www-authenticate": "Bearer"}
        )
    return database.users[name]


CurrentUser = Annotated[User, Depends(find_user)]


@app.get("/me")
async def me(user: CurrentUser) -> User:
    return user


# --8<-- [end:depends]


# --8<-- [start:generator]
journal: list[str] = []


class Transaction:
    def add(self, text: str) -> None:
        journal.append(text)


async def open_transaction() -> AsyncIterator[Transaction]:
    journal.append("begin")
    try:
        yield Transaction()
    except Exception:
        journal.append("rollback")
        raise
    journal.append("commit")


app.provide(Transaction, open_transaction)


@app.post("/notes/{text}")
async def add_note(text: str, transaction: Transaction) -> None:
    transaction.add(text)
    if text == "bad":
        raise NotFound("no such note")


@app.get("/journal")
async def show_journal() -> list[str]:
    return journal


# --8<-- [end:generator]


# --8<-- [start:class]
class Paging:
    def __init__(self, page: Query[int] = 1, size: Query[int] = 20) -> None:
        self.first = (page - 1) * size
        self.size = size


@app.get("/pages")
async def pages(paging: Annotated[Paging, Depends(Paging)]) -> dict[str, int]:
    return {"first": paging.first, "size": paging.size}


# --8<-- [end:class]
