"""N+1 queries under `quintet dev`: a warning in the log, and nothing in production."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import select

from quintet import App
from quintet.db import Database, Session, allow_n_plus_one
from quintet.db.queries import events
from quintet.db.queries.repeats import relations_behind
from quintet.testing import AsyncClient
from quintet.testing.db import make_many
from tests.integration.db.blog import Article, User


def make_app(database: Database) -> App:
    app = App(plugins=[database])

    @app.get("/authors")
    async def authors(db: Session) -> list[str]:
        return [(await db.one(select(User).where(User.id == a.author_id))).name for a in await db.many(select(Article))]

    @app.get("/allowed")
    async def allowed(db: Session) -> list[str]:
        with allow_n_plus_one("to show it"):
            return await authors(db)

    return app


async def test_development_logs_a_warning_with_line_and_fix(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("QUINTET_DEV", "1")
    caplog.set_level(logging.WARNING, "quintet.db")
    async with database.session() as db:
        await make_many(db, Article, 7)
    async with AsyncClient(make_app(database)) as client:
        assert len((await client.get("/authors")).json()) == 7
        await client.get("/allowed")
        await client.get("/authors")
    found = [r.getMessage() for r in caplog.records if "N+1" in r.getMessage()]
    assert len(found) == 2  # once for each request
    assert "GET /authors ran the same query 4 times from" in found[0]
    assert "test_repeats.py:24" in found[0]
    assert ".options(selectinload(Article.author))" in found[0]
    assert "Title" not in found[0]  # values are nobody's business


async def test_production_does_not_listen(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUINTET_DEV", raising=False)
    async with AsyncClient(make_app(database)):
        assert not events.LISTENERS


@pytest.mark.parametrize(
    ("sql", "relations"),
    [
        ("SELECT u.id FROM user WHERE user.id = ?", ["Article.author"]),
        ("SELECT `user`.id FROM `user` WHERE `user`.id = %s", ["Article.author"]),
        ("SELECT article.id FROM article WHERE article.author_id = $1::BIGINT", ["User.articles"]),
        ("SELECT article.id FROM article WHERE article.title = ?", []),
        ("SELECT 1", []),
    ],
)
def test_relations_are_found_behind_a_query(sql: str, relations: list[str]) -> None:
    assert [r for r in relations_behind(sql) if r in ("Article.author", "User.articles")] == relations


def test_a_reason_is_needed() -> None:
    with pytest.raises(ValueError, match="say why"), allow_n_plus_one(" "):
        pass
