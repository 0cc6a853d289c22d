# --8<-- [start:app]
from quintet import App, NotFound, Struct

app = App(title="Bookmarks")
# --8<-- [end:app]


# --8<-- [start:data]
class Bookmark(Struct):
    id: int
    url: str
    title: str
    tags: list[str] = []


bookmarks = {
    1: Bookmark(
        id=1, url="https://www.python.org", title="Python", tags=["code"]
    ),
    2: Bookmark(
        id=2, url="https://www.rfc-editor.org", title="RFCs", tags=["web"]
    ),
}
# --8<-- [end:data]


# --8<-- [start:list]
@app.get("/api/bookmarks")
def list_bookmarks(tag: str = "") -> list[Bookmark]:
    """List the bookmarks, those with a tag only if one is given."""
    return [b for b in bookmarks.values() if not tag or tag in b.tags]


# --8<-- [end:list]


# --8<-- [start:show]
@app.get("/api/bookmarks/{id}")
def show_bookmark(id: int) -> Bookmark:
    """Show one bookmark."""
    if id not in bookmarks:
        raise NotFound(f"there is no bookmark {id}")
    return bookmarks[id]


# --8<-- [end:show]
