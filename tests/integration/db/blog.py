"""The models and the app that the tests of the data layer use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

from sqlalchemy import select
from sqlalchemy.orm import selectinload

from quintet import App, Meta, Patch
from quintet.db import (
    Database,
    Mapped,
    Model,
    New,
    Session,
    SyncSession,
    belongs_to,
    column,
    foreign_key,
    has_many,
    many_to_many,
    primary_key,
)

Slug = Annotated[str, Meta(pattern="^[a-z-]+$", max_length=50)]


class Blog(Model, database="default"):
    """The base of these models."""


class User(Blog):
    """Who writes."""

    id: Mapped[int] = primary_key()
    name: Mapped[Annotated[str, Meta(min_length=1, max_length=50)]] = column(unique=True)
    is_staff: Mapped[bool] = column(default=False, input=False)
    articles: Mapped[list[Article]] = has_many()


class Tag(Blog):
    """A word for articles."""

    id: Mapped[int] = primary_key()
    name: Mapped[Annotated[str, Meta(max_length=50)]] = column(unique=True)
    articles: Mapped[list[Article]] = many_to_many()


class Article(Blog):
    """What is written."""

    id: Mapped[int] = primary_key()
    slug: Mapped[Slug] = column(unique=True)
    title: Mapped[Annotated[str, Meta(min_length=1, max_length=120)]] = column(check=True)
    body: Mapped[str] = column(widget="markdown")
    author_id: Mapped[int] = foreign_key("user.id")
    author: Mapped[User] = belongs_to()
    tags: Mapped[list[Tag]] = many_to_many()
    published_at: Mapped[datetime | None] = column(default=None)
    moderation_note: Mapped[str | None] = column(default=None, private=True)


def make_app(database: Database) -> App:
    """Return an app over the blog."""
    app = App(plugins=[database])

    @app.post("/users", status=201)
    async def add_user(data: New[User], db: Session) -> User:
        db.add(data)
        return data

    @app.post("/articles", status=201)
    async def create(data: New[Article], db: Session) -> Article:
        data.author = await db.one(select(User))
        db.add(data)
        return data

    @app.post("/sync/articles", status=201)
    def create_sync(data: New[Article], db: SyncSession) -> Article:
        data.author = db.one(select(User))
        db.add(data)
        return data

    @app.patch("/articles/{slug}")
    async def edit(slug: Slug, changes: Patch[Article], db: Session) -> Article:
        return changes.apply(await db.one(select(Article).where(Article.slug == slug)))

    @app.patch("/sync/articles/{slug}")
    def edit_sync(slug: Slug, changes: Patch[Article], db: SyncSession) -> Article:
        return changes.apply(db.one(select(Article).where(Article.slug == slug)))

    @app.get("/articles")
    async def everything(db: Session) -> list[Article]:
        return await db.many(select(Article).order_by(Article.id))

    @app.get("/sync/articles")
    def everything_sync(db: SyncSession) -> list[Article]:
        return db.many(select(Article).order_by(Article.id))

    @app.get("/articles/{slug}/author")
    async def author(slug: Slug, db: Session) -> User:
        query = select(Article).where(Article.slug == slug).options(selectinload(Article.author))
        return (await db.one(query)).author

    @app.get("/export")
    async def export(db: Session) -> AsyncIterator[Article]:
        async for article in db.stream(select(Article).order_by(Article.id), batch=2):
            yield article

    return app
