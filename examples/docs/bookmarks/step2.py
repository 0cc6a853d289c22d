from typing import Annotated

from quintet import App, Meta, NotFound, Patch, Response, Struct

app = App(title="Bookmarks")


# --8<-- [start:types]
class NewBookmark(Struct):
    url: Annotated[str, Meta(pattern="^https?://", max_length=500)]
    title: Annotated[str, Meta(min_length=1, max_length=100)]
    tags: Annotated[list[str], Meta(max_length=10)] = []


class Bookmark(NewBookmark):
    id: int


# --8<-- [end:types]


bookmarks: dict[int, Bookmark] = {}


def find(id: int) -> Bookmark:
    if id not in bookmarks:
        raise NotFound(f"there is no bookmark {id}")
    return bookmarks[id]


@app.get("/api/bookmarks")
def list_bookmarks(tag: str = "") -> list[Bookmark]:
    """List the bookmarks, those with a tag only if one is given."""
    return [b for b in bookmarks.values() if not tag or tag in b.tags]


# --8<-- [start:create]
@app.post("/api/bookmarks", status=201)
def create_bookmark(new: NewBookmark) -> Response[Bookmark]:
    """Add a bookmark."""
    number = max(bookmarks, default=0) + 1
    bookmarks[number] = Bookmark(
        id=number, url=new.url, title=new.title, tags=new.tags
    )
    return Response(
        bookmarks[number],
        headers={"location": app.url_for("show_bookmark", id=number)},
    )


# --8<-- [end:create]


@app.get("/api/bookmarks/{id}")
def show_bookmark(id: int) -> Bookmark:
    """Show one bookmark."""
    return find(id)


# --8<-- [start:change]
@app.patch("/api/bookmarks/{id}")
def change_bookmark(id: int, changes: Patch[NewBookmark]) -> Bookmark:
    """Change some fields of a bookmark."""
    bookmark = find(id)
    changes.apply(bookmark)
    return bookmark


@app.delete("/api/bookmarks/{id}")
def delete_bookmark(id: int) -> None:
    """Delete a bookmark."""
    find(id)
    del bookmarks[id]


# --8<-- [end:change]
