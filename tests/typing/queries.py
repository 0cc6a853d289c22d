"""What type checkers see of compiled queries; checked by basedpyright and mypy, never run."""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from typing import assert_type

from sqlalchemy import Select, Update, select, update

from quintet import Struct
from quintet.db import Mapped, Model, Paginated, Session, Slice, SyncSession, primary_key, query


class Article(Model):
    id: Mapped[int] = primary_key()
    slug: Mapped[str]


class Headline(Struct):
    slug: str


@query
def article_by_slug(slug: str) -> Select[Article]:
    return select(Article).where(Article.slug == slug)


@query(into=Headline)
def latest(limit: int = 20) -> Select[str]:
    return select(Article.slug).limit(limit)


@query
def pairs() -> Select[int, str]:
    return select(Article.id, Article.slug)


@query
def rename(key: int, *, slug: str) -> Update:
    return update(Article).where(Article.id == key).values(slug=slug)


async def verbs(db: Session) -> None:
    assert_type(await db.one(article_by_slug("x")), Article)
    assert_type(await db.first(article_by_slug("x")), Article | None)
    assert_type(await db.many(latest(limit=5)), list[Headline])
    assert_type(await db.many(pairs()), list[tuple[int, str]])
    assert_type(await db.page(latest(), size=5), Paginated[Headline])
    assert_type(await db.after(latest(), None), Slice[Headline])
    assert_type(await db.change(rename(1, slug="x")), int)
    await db.change_all(rename(key, slug="x") for key in range(3))
    await db.change_all([rename(1, slug=2)])  # type: ignore[arg-type]  # a slug is text
    async for article in db.stream(article_by_slug("x")):
        assert_type(article, Article)
    article_by_slug(1)  # type: ignore[arg-type]  # a slug is text
    article_by_slug()  # type: ignore[call-arg]  # it is missing
    latest(size=1)  # type: ignore[call-arg]  # there is no such parameter
    rename(1, "x")  # type: ignore[call-arg]  # by keyword only


def sync_verbs(db: SyncSession) -> None:
    assert_type(db.one(article_by_slug("x")), Article)
    assert_type(db.many(latest()), list[Headline])
    assert_type(db.after(latest()), Slice[Headline])
    for headline in db.stream(latest()):
        assert_type(headline, Headline)
