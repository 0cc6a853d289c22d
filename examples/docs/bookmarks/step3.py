from pathlib import Path
from typing import Annotated

from quintet import App, Form, Meta, Page, Redirect, Struct

# --8<-- [start:app]
app = App(title="Bookmarks", templates=Path(__file__).parent / "templates")
# --8<-- [end:app]


class NewBookmark(Struct):
    url: Annotated[str, Meta(pattern="^https?://", max_length=500)]
    title: Annotated[str, Meta(min_length=1, max_length=100)]
    tags: Annotated[list[str], Meta(max_length=10)] = []


class Bookmark(NewBookmark):
    id: int


bookmarks: dict[int, Bookmark] = {}


# --8<-- [start:page]
@app.page("/", template="index.html")
def index(form: Form[NewBookmark]) -> Page | Redirect:
    """Show the bookmarks, and a form to add one."""
    if form.valid:
        new = form.data
        number = max(bookmarks, default=0) + 1
        bookmarks[number] = Bookmark(
            id=number, url=new.url, title=new.title, tags=new.tags
        )
        return Redirect("/")
    return Page(form=form, bookmarks=list(bookmarks.values()))


# --8<-- [end:page]


# --8<-- [start:formats]
@app.get(
    "/bookmarks",
    template="list.html",
    produces=("html", "json", "csv"),
)
def bookmark_list() -> list[Bookmark]:
    """List the bookmarks as a page or as data."""
    return list(bookmarks.values())


# --8<-- [end:formats]
