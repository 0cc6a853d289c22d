from typing import Annotated

from msgspec import Meta
from sqlalchemy import select

from quintet import App
from quintet.db import Database, Mapped, Model, foreign_key, primary_key
from quintet.db.migrations import Migrations


class Author(Model):
    id: Mapped[int] = primary_key()
    name: Mapped[Annotated[str, Meta(max_length=50)]]


class Article(Model):
    id: Mapped[int] = primary_key()
    title: Mapped[Annotated[str, Meta(max_length=120)]]
    author_id: Mapped[int] = foreign_key("author.id")


database = Database("sqlite:///articles.db")


async def seed() -> None:
    async with database.session() as db:
        if await db.scalar(select(Author)) is None:
            db.add(Author(name="Ada Lovelace"))


app = App(plugins=[database, Migrations(seed=seed)])
