"""The benchmark's contracts on Quintet: `QUINTET_BENCH_ROUTES` chooses how many routes there are."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

from contract import FORTUNES, TEMPLATES, Order, PricedOrder, priced, route_paths
from msgspec import Meta

from quintet import App, Template

app = App(templates=TEMPLATES, docs=False)


@app.get("/json")
async def plain() -> dict[str, str]:
    return {"message": "Hello, World!"}


@app.get("/users/{id}")
async def user(
    id: int, q: Annotated[str, Meta(min_length=1, max_length=50)], limit: Annotated[int, Meta(ge=1, le=100)] = 10
) -> dict[str, int | str]:
    return {"id": id, "q": q, "limit": limit}


@app.post("/orders")
async def orders(order: Order) -> PricedOrder:
    return priced(order)


@app.get("/fortunes")
async def fortunes() -> Template:
    return Template("fortunes.html", fortunes=FORTUNES)


@app.get("/suspended")
async def suspended() -> dict[str, str]:
    await asyncio.sleep(0)
    return {"message": "Hello, World!"}


async def short(id: int) -> dict[str, int]:
    return {"id": id}


async def deep(id: int, item_id: int) -> dict[str, int]:
    return {"id": id, "item_id": item_id}


async def none() -> dict[str, str]:
    return {"route": "list"}


for path in route_paths()[: int(os.environ.get("QUINTET_BENCH_ROUTES", "0"))]:
    app.get(path)(deep if "item_id" in path else short if "{id}" in path else none)
app.get("/api/same/res17/{id}/items/{item_id}")(deep)
