"""An app of resources, for schemathesis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from quintet import (
    App,
    Database,
    Header,
    Meta,
    Model,
    View,
    belongs_to,
    column,
    foreign_key,
    has_many,
    primary_key,
    resource,
)
from quintet.db import Mapped, SoftDelete, Versioned


class Shelf(Model):
    id: Mapped[UUID] = primary_key()
    name: Mapped[Annotated[str, Meta(min_length=1, max_length=40)]] = column(unique=True)
    things: Mapped[list[Thing]] = has_many()


class Thing(Versioned, SoftDelete, Model):
    id: Mapped[int] = primary_key()
    slug: Mapped[Annotated[str, Meta(pattern="^[a-z0-9]+$", max_length=20)]] = column(unique=True)
    kind: Mapped[Literal["book", "tool"]] = column(default="book")
    bought_on: Mapped[date | None] = column(default=None)
    pieces: Mapped[Annotated[int, Meta(ge=0, le=1000)]] = column(default=1)
    shelf_id: Mapped[UUID | None] = foreign_key("shelf.id", input=True, default=None)
    shelf: Mapped[Shelf | None] = belongs_to()


database = Database("sqlite://")
app = App(plugins=[database])


@app.lifespan
async def tables() -> AsyncIterator[None]:
    await database.create_all()
    yield


def owner(authorization: Header[str] = "") -> str:
    return authorization


app.include(resource(Shelf, filters={"name": ["eq", "startswith"]}, sorts=["name"], pagination="cursor"))
app.include(
    resource(
        Thing,
        key="slug",
        filters=["kind", "bought_on", "pieces", "shelf"],
        search=["slug"],
        sorts=["bought_on", "pieces"],
        view=View("shelf"),
        idempotency=owner,
        produces=("json", "csv", "xml"),
    )
)
