from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from quintet import (
    App,
    Database,
    Meta,
    Session,
    Struct,
    SyncSession,
    column,
    primary_key,
)
from quintet import Model as Root
from quintet.db import Mapped, Paginated, retry_conflicts


class Model(Root, database="default"):
    """A base of its own: the tests import this file more than once."""


class Account(Model):
    id: Mapped[int] = primary_key()
    owner: Mapped[Annotated[str, Meta(max_length=50)]] = column(unique=True)
    balance: Mapped[Annotated[int, Meta(ge=0)]] = column(default=0, check=True)


class Transfer(Struct):
    source: str
    target: str
    amount: Annotated[int, Meta(gt=0)]


class Owner(Struct):
    name: str


database = Database("sqlite://")
app = App(plugins=[database])


@app.lifespan
async def tables() -> AsyncIterator[None]:
    await database.drop_all(Model)
    await database.create_all(Model)
    async with database.session() as db:
        db.add_all([Account(owner="ada", balance=100), Account(owner="bo")])
    yield


# --8<-- [start:both]
@app.get("/accounts/{owner}")
async def account(owner: str, db: Session) -> Account:
    return await db.one(select(Account).where(Account.owner == owner))


@app.get("/accounts")
def accounts(
    db: SyncSession, page: Annotated[int, Meta(ge=1, le=10_000)] = 1
) -> Paginated[Account]:
    return db.page(select(Account).order_by(Account.id), page, size=50)


# --8<-- [end:both]


# --8<-- [start:retry]
@app.post("/transfers")
@retry_conflicts()
async def transfer(data: Transfer, db: Session) -> None:
    for owner, change in (
        (data.source, -data.amount),
        (data.target, data.amount),
    ):
        await db.execute(
            update(Account)
            .where(Account.owner == owner)
            .values(balance=Account.balance + change)
        )


# --8<-- [end:retry]


# --8<-- [start:stream]
@app.get("/export", produces=("csv", "jsonl"))
async def export(db: Session) -> AsyncIterator[Account]:
    async for one in db.stream(select(Account).order_by(Account.id)):
        yield one


# --8<-- [end:stream]


# --8<-- [start:savepoint]
@app.post("/accounts/import")
async def import_accounts(owners: list[Owner], db: Session) -> list[str]:
    taken: list[str] = []
    for owner in owners:
        try:
            async with db.savepoint():
                db.add(Account(owner=owner.name))
        except IntegrityError:
            taken.append(owner.name)
    return taken


# --8<-- [end:savepoint]


# --8<-- [start:command]
@app.command()
async def deposit(owner: str, amount: int, db: Session) -> str:
    account = await db.one(select(Account).where(Account.owner == owner))
    account.balance += amount
    return f"{owner} has {account.balance}"


# --8<-- [end:command]


# --8<-- [start:script]
def pay_interest(database: Database) -> None:
    with database.sync_session() as db:
        for one in db.many(select(Account)):
            one.balance = one.balance * 101 // 100


# --8<-- [end:script]
