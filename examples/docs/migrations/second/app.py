from enum import Enum
from typing import Annotated

from msgspec import Meta

from quintet import App
from quintet.db import Database, Mapped, Model, column, foreign_key, primary_key


class State(Enum):
    DRAFT = "draft"
    PUBLISHED = "published"


class Author(Model):
    id: Mapped[int] = primary_key()
    full_name: Mapped[Annotated[str, Meta(max_length=80)]]


class Article(Model):
    id: Mapped[int] = primary_key()
    title: Mapped[Annotated[str, Meta(max_length=120)]]
    state: Mapped[State] = column(server_default="draft", check=True)
    author_id: Mapped[int] = foreign_key("author.id")


app = App(plugins=[Database("sqlite:///articles.db")])
