from collections.abc import AsyncIterator
from typing import Annotated

from quintet import App, Depends, Event, Struct, WebSocket

app = App(title="Shop")


class Item(Struct):
    name: str
    price: int = 0


class Catalogue:
    def __init__(self, items: list[Item]) -> None:
        self.items = items


async def open_catalogue() -> AsyncIterator[Catalogue]:
    yield Catalogue([Item(name="lamp", price=30)])


app.provide(Catalogue, open_catalogue, scope="app")


def discount() -> int:
    return 0


@app.get("/items")
async def items(
    catalogue: Catalogue, less: Annotated[int, Depends(discount)]
) -> list[Item]:
    return [
        Item(name=item.name, price=item.price - less)
        for item in catalogue.items
    ]


@app.post("/items", status=201)
async def add(item: Item, catalogue: Catalogue) -> Item:
    catalogue.items.append(item)
    return item


@app.get("/news")
async def news() -> AsyncIterator[Event[str]]:
    yield Event(data="open")
    yield Event(data="lamp sold")


@app.get("/broken")
async def broken() -> Item:
    raise ValueError("no such shelf")


@app.websocket("/chat")
async def chat(websocket: WebSocket[str, str]) -> None:
    await websocket.accept()
    async for message in websocket:
        await websocket.send(message.upper())
