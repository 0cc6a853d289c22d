from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

from sqlalchemy import Select, select

from quintet import (
    App,
    Database,
    Depends,
    Meta,
    Request,
    Session,
    Unauthorized,
    View,
    belongs_to,
    column,
    foreign_key,
    has_many,
    primary_key,
    resource,
)
from quintet import Model as Root
from quintet.db import Mapped, Versioned


class Model(Root, database="default"):
    """A base of its own: the tests import this file more than once."""


class User(Model):
    id: Mapped[int] = primary_key()
    name: Mapped[Annotated[str, Meta(min_length=1, max_length=50)]] = column(
        unique=True
    )
    articles: Mapped[list[Article]] = has_many()


# --8<-- [start:model]
class Article(Versioned, Model):
    id: Mapped[int] = primary_key()
    title: Mapped[Annotated[str, Meta(min_length=1, max_length=120)]]
    body: Mapped[str]
    author_id: Mapped[int] = foreign_key("user.id")
    author: Mapped[User] = belongs_to()
    published_at: Mapped[datetime | None] = column(default=None)


# --8<-- [end:model]

database = Database("sqlite://")
app = App(plugins=[database])


@app.lifespan
async def tables() -> AsyncIterator[None]:
    await database.drop_all(Model)
    await database.create_all(Model)
    async with database.session() as db:
        db.add_all([User(name="Ada"), User(name="Bo")])
    yield


# --8<-- [start:user]
async def find_user(request: Request, db: Session) -> User:
    name = request.headers.get("x-user", "")
    user = await db.first(select(User).where(User.name == name))
    if user is None:
        raise Unauthorized(headers={"www-authenticate": "Name"})
    return user


CurrentUser = Annotated[User, Depends(find_user)]


# --8<-- [end:user]


# --8<-- [start:policy]
class ArticlePolicy:
    def visible(
        self, query: Select[Article], user: CurrentUser
    ) -> Select[Article]:
        return query.where(Article.author_id == user.id)

    def delete(self, obj: Article) -> bool:
        return obj.published_at is None

    def every(self) -> bool:
        return True


class ArticleHooks:
    async def before_create(self, obj: Article, user: CurrentUser) -> None:
        obj.author = user


# --8<-- [end:policy]


# --8<-- [start:owner]
def owner(user: CurrentUser) -> int:
    return user.id


# --8<-- [end:owner]


# --8<-- [start:include]
app.include(
    resource(
        Article,
        path="/articles",
        filters={"author": ["eq"], "published_at": ["gte", "lt", "is_null"]},
        search=["title", "body"],
        sorts=["title", "published_at"],
        view=View("author"),
        policy=ArticlePolicy,
        hooks=ArticleHooks,
        idempotency=owner,
        produces=("json", "html", "csv"),
    )
)
# --8<-- [end:include]
