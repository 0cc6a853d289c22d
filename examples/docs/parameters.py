from __future__ import annotations

from datetime import date
from enum import Enum
from typing import Annotated

from quintet import App, Cookie, Header, Meta, Name, Query, Request, Struct

app = App()


# --8<-- [start:query]
class Order(Enum):
    NEW = "new"
    OLD = "old"


@app.get("/search")
async def search(
    q: str,
    page: Annotated[int, Meta(ge=1)] = 1,
    order: Order = Order.NEW,
    tags: list[str] = [],
    since: date | None = None,
    archived: bool = False,
) -> dict[str, object]:
    return {
        "q": q,
        "page": page,
        "order": order,
        "tags": tags,
        "since": since,
        "archived": archived,
    }


# --8<-- [end:query]


# --8<-- [start:structure]
class Filter(Struct):
    color: str | None = None
    min_price: Annotated[int, Meta(ge=0)] = 0
    sizes: list[int] = []


@app.get("/products")
async def products(filter: Filter) -> Filter:
    return filter


# --8<-- [end:structure]


# --8<-- [start:sources]
@app.get("/whoami")
async def whoami(
    user_agent: Header[str],
    trace: Header[Annotated[str, Name("X-Trace")]] = "none",
    theme: Cookie[str] = "light",
    from_: Query[Annotated[int, Name("from")]] = 0,
) -> dict[str, object]:
    return {"agent": user_agent, "trace": trace, "theme": theme, "from": from_}


# --8<-- [end:sources]


# --8<-- [start:request]
@app.get("/raw")
async def raw(request: Request) -> dict[str, object]:
    return {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "client": request.client,
        "accept": request.headers.get("accept"),
    }


# --8<-- [end:request]
