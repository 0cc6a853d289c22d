from __future__ import annotations

from typing import Annotated

from sqlalchemy import Computed, Index, UniqueConstraint, text

from quintet import Meta, column, primary_key
from quintet import Model as Root
from quintet.db import Mapped, SoftDelete


class Model(Root, database="default"):
    """A base of its own: the tests import this file more than once."""


Slug = Annotated[str, Meta(max_length=40)]

# --8<-- [start:index]
ALIVE = text("deleted_at IS NULL")


class Page(SoftDelete, Model):
    __table_args__ = (
        Index(
            "uq_page_slug",
            "slug",
            unique=True,
            postgresql_where=ALIVE,
            sqlite_where=ALIVE,
        ),
    )
    id: Mapped[int] = primary_key()
    slug: Mapped[Slug]


# --8<-- [end:index]


# --8<-- [start:computed]
class Topic(SoftDelete, Model):
    __table_args__ = (UniqueConstraint("slug", "alive"),)
    id: Mapped[int] = primary_key()
    slug: Mapped[Slug]
    alive: Mapped[int | None] = column(
        Computed(
            "CASE WHEN deleted_at IS NULL THEN 1 ELSE NULL END",
            persisted=True,
        ),
        private=True,
    )


# --8<-- [end:computed]
