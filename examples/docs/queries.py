from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from sqlalchemy import Select, Update, select, update

from quintet import App, Body, Meta, Struct
from quintet.db import (
    Database,
    Mapped,
    Session,
    Slice,
    SyncSession,
    column,
    primary_key,
    query,
)
from quintet.db import Model as Root


class Model(Root, database="default"):
    """A base of its own: the tests import this file more than once."""


class Article(Model):
    id: Mapped[int] = primary_key()
    slug: Mapped[Annotated[str, Meta(max_length=50)]] = column(unique=True)
    title: Mapped[Annotated[str, Meta(max_length=120)]]
    views: Mapped[int] = column(default=0)


# --8<-- [start:define]
class Headline(Struct):
    slug: str
    title: str


@query
def article_by_slug(slug: str) -> Select[Article]:
    return select(Article).where(Article.slug == slug)


@query(into=Headline)
def latest(limit: int = 20) -> Select[str, str]:
    return (
        select(Article.slug, Article.title)
        .order_by(Article.id.desc())
        .limit(limit)
    )


# --8<-- [end:define]

database = Database("sqlite://")
app = App(plugins=[database])


@app.lifespan
async def fill() -> AsyncIterator[None]:
    await database.create_all(Model)
    async with database.session() as db:
        db.add_all(
            [
                Article(slug=f"article-{n}", title=f"Article {n}", views=n % 2)
                for n in range(1, 6)
            ]
        )
    yield


# --8<-- [start:use]
@app.get("/articles/{slug}")
async def show(slug: str, db: Session) -> Article:
    return await db.one(article_by_slug(slug))


@app.get("/latest")
def newest(db: SyncSession) -> list[Headline]:
    return db.many(latest(limit=2))


# --8<-- [end:use]


# --8<-- [start:optional]
@query
def articles(slugs: list[str], views: int | None = None) -> Select[Article]:
    statement = (
        select(Article).where(Article.slug.in_(slugs)).order_by(Article.id)
    )
    return (
        statement if views is None else statement.where(Article.views == views)
    )


# --8<-- [end:optional]


@app.get("/some")
async def some(db: Session, views: int | None = None) -> list[int]:
    found = await db.many(
        articles([f"article-{n}" for n in range(1, 4)], views)
    )
    return [article.id for article in found]


# --8<-- [start:after]
@query(into=Headline)
def by_slug() -> Select[str, str]:
    return select(Article.slug, Article.title).order_by(Article.slug)


@query
def by_views() -> Select[Article]:
    return select(Article).order_by(Article.views.desc())


@app.get("/popular")
async def popular(db: Session, cursor: str | None = None) -> Slice[Article]:
    return await db.after(by_views(), cursor, size=2)


# --8<-- [end:after]


# --8<-- [start:change]
@query
def count_view(slug: str) -> Update:
    return (
        update(Article)
        .where(Article.slug == slug)
        .values(views=Article.views + 1)
    )


@app.post("/articles/{slug}/views")
async def seen(slug: str, db: Session) -> int:
    return await db.change(count_view(slug))


# --8<-- [end:change]


# --8<-- [start:change_all]
@query
def retitle(slug: str, title: str) -> Update:
    return update(Article).where(Article.slug == slug).values(title=title)


@app.patch("/titles")
async def retitle_all(titles: Body[dict[str, str]], db: Session) -> None:
    await db.change_all(retitle(slug, new) for slug, new in titles.items())


# --8<-- [end:change_all]
