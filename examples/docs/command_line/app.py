from collections.abc import AsyncIterator

from quintet import App, Struct

app = App(title="Notes")


class Note(Struct):
    text: str
    stars: int = 0


class Notes(list[Note]):
    pass


async def open_notes() -> AsyncIterator[Notes]:
    yield Notes(
        [Note(text="buy milk", stars=2), Note(text="call Ada", stars=5)]
    )


app.provide(Notes, open_notes, scope="app")


@app.get("/notes")
async def notes(notes: Notes, least: int = 0) -> list[Note]:
    """The notes with enough stars."""
    return [note for note in notes if note.stars >= least]


@app.post("/notes", status=201)
async def add(note: Note, notes: Notes) -> Note:
    """Add a note."""
    notes.append(note)
    return note


@app.command()
async def search(word: str, notes: Notes, *, stars: int = 0) -> list[Note]:
    """Search the notes.

    Args:
        word: what to look for
        stars: the least number of stars
    """
    return [note for note in notes if word in note.text and note.stars >= stars]
