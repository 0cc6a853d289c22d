from __future__ import annotations

from quintet import App, Controller, Struct, get, post

app = App()


# --8<-- [start:controller]
class Note(Struct):
    text: str


class Notes(Controller):
    path = "/notes"
    tags = ["notes"]

    def __init__(self) -> None:
        self.notes: list[Note] = []

    @get("")
    async def index(self) -> list[Note]:
        return self.notes

    @post("", status=201)
    async def create(self, note: Note) -> Note:
        self.notes.append(note)
        return note

    @get("/{number}")
    async def show(self, number: int) -> Note:
        return self.notes[number - 1]


app.include(Notes)
# --8<-- [end:controller]
