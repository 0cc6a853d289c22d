"""An app that exports a large table, as JSON Lines and as CSV, async and sync; run by a real server."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

from sqlalchemy import Select, select

from quintet import App, Struct
from quintet.db import Database, Mapped, Model, Session, SyncSession, primary_key, query


class Export(Model, database="default"):
    """The base of this model."""


class Line(Export):
    """A row of the export."""

    __tablename__ = "export_line"
    id: Mapped[int] = primary_key()
    text: Mapped[str]


class Out(Struct):
    """A line of the export."""

    id: int
    text: str


@query(into=Out)
def lines() -> Select[int, str]:
    return select(Line.id, Line.text).order_by(Line.id)


database = Database(os.environ.get("EXPORT_DATABASE", "sqlite://"))
app = App(plugins=[database], docs=False)


@app.get("/jsonl")
async def jsonl(db: Session) -> AsyncIterator[Out]:
    """Stream a compiled query."""
    async for line in db.stream(lines()):
        yield line


@app.get("/csv")
async def csv(db: Session) -> AsyncIterator[str]:
    """Stream objects of SQLAlchemy, each forgotten when it was written."""
    async for line in db.stream(select(Line).order_by(Line.id), batch=1000):
        yield f"{line.id},{line.text}\n"


@app.get("/sync")
def sync(db: SyncSession) -> Iterator[Out]:
    """Stream a compiled query from a thread."""
    yield from db.stream(lines())
