from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from quintet import (
    App,
    Conflict,
    Form,
    Meta,
    NotFound,
    Page,
    Patch,
    Redirect,
    Request,
    Response,
    Settings,
    Struct,
)


# --8<-- [start:settings]
class BookmarkSettings(Settings, section="bookmarks"):
    database: Path = Path("bookmarks.db")


app = App(
    title="Bookmarks",
    templates=Path(__file__).parent / "templates",
    settings=[BookmarkSettings],
)
# --8<-- [end:settings]


class NewBookmark(Struct):
    url: Annotated[str, Meta(pattern="^https?://", max_length=500)]
    title: Annotated[str, Meta(min_length=1, max_length=100)]
    tags: Annotated[list[str], Meta(max_length=10)] = []


class Bookmark(NewBookmark):
    id: int


# --8<-- [start:store]
SCHEMA = """
CREATE TABLE IF NOT EXISTS bookmark (
    id INTEGER PRIMARY KEY,
    url TEXT UNIQUE NOT NULL,
    title TEXT NOT NULL,
    tags TEXT NOT NULL
)
"""


class Store:
    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db

    def all(self, tag: str = "") -> list[Bookmark]:
        rows = self.db.execute(
            "SELECT id, url, title, tags FROM bookmark ORDER BY id"
        )
        found = [
            Bookmark(id=r[0], url=r[1], title=r[2], tags=json.loads(r[3]))
            for r in rows
        ]
        return [b for b in found if not tag or tag in b.tags]

    def find(self, id: int) -> Bookmark:
        for bookmark in self.all():
            if bookmark.id == id:
                return bookmark
        raise NotFound(f"there is no bookmark {id}")

    def add(self, new: NewBookmark) -> Bookmark:
        values = (new.url, new.title, json.dumps(new.tags))
        cursor = self.db.execute(
            "INSERT INTO bookmark (url, title, tags) VALUES (?, ?, ?)", values
        )
        return self.find(cursor.lastrowid or 0)

    def save(self, b: Bookmark) -> None:
        values = (b.url, b.title, json.dumps(b.tags), b.id)
        self.db.execute(
            "UPDATE bookmark SET url = ?, title = ?, tags = ? WHERE id = ?",
            values,
        )

    def delete(self, id: int) -> None:
        self.db.execute("DELETE FROM bookmark WHERE id = ?", (id,))


# --8<-- [end:store]


# --8<-- [start:provide]
def open_store(settings: BookmarkSettings) -> Iterator[Store]:
    db = sqlite3.connect(settings.database, check_same_thread=False)
    try:
        db.execute(SCHEMA)
        with db:  # commits, or rolls back after an exception
            yield Store(db)
    finally:
        db.close()


app.provide(Store, open_store)
# --8<-- [end:provide]


# --8<-- [start:api]
@app.get("/api/bookmarks")
def list_bookmarks(store: Store, tag: str = "") -> list[Bookmark]:
    """List the bookmarks, those with a tag only if one is given."""
    return store.all(tag)


@app.post("/api/bookmarks", status=201)
def create_bookmark(store: Store, new: NewBookmark) -> Response[Bookmark]:
    """Add a bookmark."""
    bookmark = store.add(new)
    return Response(
        bookmark,
        headers={"location": app.url_for("show_bookmark", id=bookmark.id)},
    )


@app.get("/api/bookmarks/{id}")
def show_bookmark(store: Store, id: int) -> Bookmark:
    """Show one bookmark."""
    return store.find(id)


@app.patch("/api/bookmarks/{id}")
def change_bookmark(
    store: Store, id: int, changes: Patch[NewBookmark]
) -> Bookmark:
    """Change some fields of a bookmark."""
    bookmark = store.find(id)
    changes.apply(bookmark)
    store.save(bookmark)
    return bookmark


@app.delete("/api/bookmarks/{id}")
def delete_bookmark(store: Store, id: int) -> None:
    """Delete a bookmark."""
    store.find(id)
    store.delete(id)


# --8<-- [end:api]


@app.page("/", template="index.html")
def index(store: Store, form: Form[NewBookmark]) -> Page | Redirect:
    """Show the bookmarks, and a form to add one."""
    if form.valid:
        store.add(form.data)
        return Redirect("/")
    return Page(form=form, bookmarks=store.all())


# --8<-- [start:errors]
@app.exception_handler(sqlite3.IntegrityError)
def already_there(request: Request, error: sqlite3.IntegrityError) -> None:
    raise Conflict("this address is bookmarked already") from error


# --8<-- [end:errors]
