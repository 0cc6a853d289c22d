from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

from sqlalchemy import select
from sqlalchemy.orm import selectinload

from quintet import (
    App,
    Database,
    Meta,
    New,
    Patch,
    Session,
    View,
    belongs_to,
    column,
    foreign_key,
    has_many,
    many_to_many,
    primary_key,
)
from quintet import Model as Root
from quintet.db import Mapped, SoftDelete, Timestamps, Versioned


class Model(Root, database="default"):
    """A base of its own: the tests import this file more than once."""


# --8<-- [start:models]
Slug = Annotated[str, Meta(pattern="^[a-z0-9-]+$", max_length=60)]


class User(Model):
    id: Mapped[int] = primary_key()
    name: Mapped[Annotated[str, Meta(min_length=1, max_length=50)]] = column(
        unique=True
    )
    is_staff: Mapped[bool] = column(default=False, input=False)
    articles: Mapped[list[Article]] = has_many()


class Tag(Model):
    id: Mapped[int] = primary_key()
    name: Mapped[Annotated[str, Meta(max_length=30)]] = column(unique=True)
    articles: Mapped[list[Article]] = many_to_many()


class Article(Model):
    id: Mapped[int] = primary_key()
    slug: Mapped[Slug] = column(unique=True)
    title: Mapped[Annotated[str, Meta(min_length=1, max_length=120)]]
    body: Mapped[str]
    author_id: Mapped[int] = foreign_key("user.id")
    author: Mapped[User] = belongs_to()
    tags: Mapped[list[Tag]] = many_to_many()
    published_at: Mapped[datetime | None] = column(default=None)
    moderation_note: Mapped[str | None] = column(default=None, private=True)


# --8<-- [end:models]


# --8<-- [start:mixins]
class Page(Timestamps, SoftDelete, Versioned, Model):
    id: Mapped[int] = primary_key()
    text: Mapped[str]


# --8<-- [end:mixins]

database = Database("sqlite://")
app = App(plugins=[database])


@app.lifespan
async def tables() -> AsyncIterator[None]:
    await database.drop_all(Model)
    await database.create_all(Model)
    async with database.session() as db:
        db.add(User(name="Ada"))
    yield


# --8<-- [start:handlers]
@app.post("/articles", status=201)
async def create(data: New[Article], db: Session) -> Article:
    data.author = await db.one(select(User).where(User.name == "Ada"))
    db.add(data)
    return data


@app.patch("/articles/{slug}")
async def edit(slug: Slug, changes: Patch[Article], db: Session) -> Article:
    return changes.apply(
        await db.one(select(Article).where(Article.slug == slug))
    )


# --8<-- [end:handlers]


# --8<-- [start:view]
@app.get("/articles/{slug}")
async def read(
    slug: Slug, db: Session
) -> Annotated[Article, View("author", "tags")]:
    query = select(Article).where(Article.slug == slug)
    return await db.one(
        query.options(selectinload(Article.author), selectinload(Article.tags))
    )


# --8<-- [end:view]
