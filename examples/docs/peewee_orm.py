# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false
# --8<-- [start:plugin]
from __future__ import annotations

from collections.abc import Generator
from contextvars import ContextVar
from typing import Any, ClassVar

import peewee

from quintet import App, Plugin, Struct
from quintet.app import Application
from quintet.errors import Conflict, NotFound

_state: ContextVar[dict[str, Any]] = ContextVar("peewee")


class RequestState(peewee._ConnectionState):  # pyright: ignore[reportPrivateUsage]
    """Peewee's connection by request: it keeps one by thread otherwise."""

    def __init__(self) -> None:
        """Nothing is kept here: there is no request yet."""

    def __getattr__(self, name: str) -> Any:
        return _state.get({"closed": True})[name]

    def __setattr__(self, name: str, value: Any) -> None:
        _state.get()[name] = value


class PeeweePlugin(Plugin):
    """Peewee: `def` handlers that ask for its Database have a transaction."""

    name: ClassVar[str] = "peewee"

    def __init__(self, database: peewee.Database) -> None:
        self.database = database
        self.database._state = RequestState()

    def setup(self, app: Application) -> None:
        app.provide(peewee.Database, self.transaction)
        app.readiness("peewee")(self.ping)

    def transaction(self) -> Generator[peewee.Database]:
        _state.set({"closed": True})
        with self.database:  # a connection, and a transaction on it
            yield self.database

    def ping(self) -> None:
        for _ in self.transaction():
            self.database.execute_sql("SELECT 1")


# --8<-- [end:plugin]

# --8<-- [start:app]
database = peewee.SqliteDatabase("notes.db", check_same_thread=False)


class Note(peewee.Model):
    text = peewee.CharField(max_length=100, unique=True)

    class Meta:
        database = database


class NoteIn(Struct):
    text: str


class NoteOut(Struct):
    id: int
    text: str


app = App(plugins=[PeeweePlugin(database)])


@app.command()
def create_tables(db: peewee.Database) -> None:
    """Make the tables that are missing."""
    db.create_tables([Note])


@app.post("/notes", status=201)
def add(note: NoteIn, db: peewee.Database) -> NoteOut:
    try:
        made: Any = Note.create(text=note.text)
    except peewee.IntegrityError:
        raise Conflict("this note is there already") from None
    return NoteOut(id=made.id, text=made.text)


@app.get("/notes/{id}")
def show(id: int, db: peewee.Database) -> NoteOut:
    found: Any = Note.get_or_none(Note.id == id)
    if found is None:
        raise NotFound(f"there is no note {id}")
    return NoteOut(id=found.id, text=found.text)


# --8<-- [end:app]
