# --8<-- [start:app]
from pathlib import Path
from typing import Annotated

from quintet import App, Form, Meta, Page, Redirect, Struct

app = App(templates=Path(__file__).parent / "templates")
# --8<-- [end:app]


# --8<-- [start:api]
class Entry(Struct):
    name: Annotated[str, Meta(min_length=1, max_length=40)]
    text: Annotated[str, Meta(min_length=1, max_length=500)]
    stars: Annotated[int, Meta(ge=1, le=5)] = 5


entries: list[Entry] = []


@app.get("/entries")
async def list_entries() -> list[Entry]:
    return entries


@app.post("/entries", status=201)
async def add_entry(entry: Entry) -> Entry:
    entries.append(entry)
    return entry


# --8<-- [end:api]


# --8<-- [start:page]
@app.page("/", template="guestbook.html")
async def guestbook(form: Form[Entry]) -> Page | Redirect:
    if form.valid:
        entries.append(form.data)
        return Redirect("/")
    return Page(form=form, entries=entries)


# --8<-- [end:page]
