"""What type checkers see of models, queries and sessions; checked by basedpyright and mypy, never run."""
# pyright: reportUnnecessaryTypeIgnoreComment=true
# ruff: noqa: RUF012 - `__mapper_args__` is written as SQLAlchemy users know it

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, assert_type

from sqlalchemy import Computed, Row, Select, func, select
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column, selectinload

from quintet import (
    App,
    Database,
    Meta,
    Model,
    New,
    Patch,
    Session,
    SyncSession,
    Use,
    View,
    belongs_to,
    column,
    foreign_key,
    has_many,
    many_to_many,
    primary_key,
)
from quintet.db import CompiledQuery, Paginated, Precision, SoftDelete, Timestamps, Versioned, retry_conflicts


class User(Model):
    id: Mapped[int] = primary_key()
    name: Mapped[Annotated[str, Meta(max_length=50)]]
    is_staff: Mapped[bool] = column(default=False, input=False)
    articles: Mapped[list[Article]] = has_many()


class Tag(Model):
    id: Mapped[int] = primary_key()
    name: Mapped[str] = mapped_column(unique=True)


class Article(Timestamps, SoftDelete, Versioned):
    id: Mapped[int] = primary_key()
    title: Mapped[Annotated[str, Meta(min_length=1, max_length=120)]]
    body: Mapped[str] = column(widget="markdown")
    author_id: Mapped[int] = foreign_key("user.id")
    author: Mapped[User] = belongs_to()
    tags: Mapped[list[Tag]] = many_to_many()
    published_at: Mapped[datetime | None] = column(default=None)


# Constructors.

ada = User(name="Ada")
article = Article(title="T", body="b", author=ada, tags=[Tag(name="x")])
_ = Article(title="T", body="b", author_id=1, published_at=datetime.now(UTC), id=5)
_ = Article(title="T", author=ada)  # type: ignore[call-arg]
_ = Article(title=1, body="b")  # type: ignore[arg-type]
_ = Article(title="T", body="b", author="Ada")  # type: ignore[arg-type]
_ = Article("T", "b")  # type: ignore[arg-type, call-arg]
_ = Article(title="T", body="b", colour="red")  # type: ignore[call-arg]

# Inheritance, trees, links within a table, computed columns.


class Employee(Model):
    id: Mapped[int] = primary_key()
    kind: Mapped[str] = column(init=False)
    name: Mapped[str]
    manager_id: Mapped[int | None] = foreign_key("employee.id", default=None)
    manager: Mapped[Employee | None] = belongs_to()
    reports: Mapped[list[Employee]] = has_many()
    friends: Mapped[list[Employee]] = many_to_many()
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "employee"}


class Manager(Employee):
    budget: Mapped[int | None] = column(default=None)
    __mapper_args__ = {"polymorphic_identity": "manager"}


class Product(Model):
    group: Mapped[int] = primary_key(input=True)
    number: Mapped[int] = primary_key()
    price: Mapped[Annotated[Decimal, Precision.of(8, 2)]]
    worth: Mapped[Decimal] = column(Computed("price * 2"))
    made: Mapped[datetime] = column(server_default=func.now())
    unit: Mapped[str] = column(server_default="piece", init=True)
    anything: Mapped[Any] = column(default=None)

    @hybrid_property
    def is_dear(self) -> bool:
        return self.price > 100


boss = Manager(name="Ada", budget=3)
worker = Employee(name="Bo", manager=boss, friends=[boss])
product = Product(price=Decimal(1), group=1, number=2, unit="kg")
wrong: list[object] = [
    Employee(name="Bo", kind="manager"),  # type: ignore[call-arg]
    Employee(name="Bo", budget=3),  # type: ignore[call-arg]
    Employee(name="Bo", manager=ada),  # type: ignore[arg-type]
    Manager(budget=3),  # type: ignore[call-arg]
    Product(price=Decimal(1), unit="kg", worth=Decimal(2)),  # type: ignore[call-arg]
    Product(price="1", unit="kg"),  # type: ignore[arg-type]
]
assert_type(boss.budget, int | None)
assert_type(worker.manager, Employee | None)
assert_type(worker.reports, list[Employee])
assert_type(product.worth, Decimal)
assert_type(product.is_dear, bool)
assert_type(select(Manager).where(Manager.name == "Ada"), Select[Manager])
assert_type(select(Product).where(Product.is_dear), Select[Product])
wrong.append(worker.budget)  # type: ignore[attr-defined]

# Attributes.

assert_type(article.title, str)
assert_type(article.published_at, datetime | None)
assert_type(article.author.name, str)
assert_type(article.tags, list[Tag])
assert_type(article.created_at, datetime)
assert_type(article.version, int)
article.title = 3  # type: ignore[assignment]
article.author = None  # type: ignore[assignment]
_ = article.colour  # type: ignore[attr-defined]

# Queries.

newest = select(Article).order_by(Article.published_at.desc()).options(selectinload(Article.author))
assert_type(newest, Select[Article])
select(Article.colour)  # type: ignore[attr-defined]


async def read(db: Session, compiled: CompiledQuery[Article]) -> None:
    assert_type(await db.one(newest), Article)
    assert_type(await db.first(newest), Article | None)
    assert_type(await db.many(newest), list[Article])
    assert_type(await db.page(newest, page=2), Paginated[Article])
    assert_type(await db.many(select(Article.title)), list[str])
    assert_type(await db.one(select(Article.id, Article.title)), Row[int, str])
    assert_type(await db.one(compiled), Article)
    assert_type(await db.many(compiled), list[Article])
    assert_type(await db.get(Article, 1), Article | None)
    async for one in db.stream(newest):
        assert_type(one, Article)
    _ = await db.one("SELECT 1")  # type: ignore[call-overload]


def read_sync(db: SyncSession, compiled: CompiledQuery[Article]) -> None:
    assert_type(db.one(newest), Article)
    assert_type(db.first(newest), Article | None)
    assert_type(db.many(newest), list[Article])
    assert_type(db.one(select(Article.id, Article.title)), Row[int, str])
    assert_type(db.first(compiled), Article | None)
    for one in db.stream(newest):
        assert_type(one, Article)


# Handlers.

app = App(plugins=[Database("sqlite://")])


@app.post("/articles", status=201)
async def create(data: New[Article], db: Session) -> Article:
    assert_type(data, Article)
    data.author = User(name="Ada")
    db.add(data)
    return data


@app.patch("/articles/{id}")
@retry_conflicts(attempts=5)
async def edit(id: int, changes: Patch[Article], db: Session) -> Article:
    found = await db.one(select(Article).where(Article.id == id))
    assert_type(changes.apply(found), Article)
    return changes.apply(found)


@app.get("/reports")
async def reports(db: Annotated[Session, Use("reports")]) -> list[Annotated[Article, View("author", "tags")]]:
    return await db.many(newest)


@app.get("/export")
async def export(db: Session) -> AsyncIterator[Article]:
    async for one in db.stream(newest):
        yield one


async def script(database: Database) -> None:
    async with database.session() as db:
        assert_type(db, Session)
    with database.sync_session("read") as sync:
        assert_type(sync, SyncSession)
