from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from quintet import App, CallNext, NotFound, Request, Response, Router, Struct

app = App()


# --8<-- [start:routes]
@app.get("/users/{id}")
async def user(id: int) -> dict[str, object]:
    return {"id": id, "self": app.url_for("user", id=id)}


@app.get("/search")
async def search(q: str = "", tags: list[str] = []) -> dict[str, object]:
    return {"q": q, "tags": tags}


# --8<-- [end:routes]


# --8<-- [start:body]
class Order(Struct):
    article: str
    quantity: int = 1


@app.post("/orders", status=201)
async def create_order(order: Order) -> Order:
    return order


# --8<-- [end:body]


# --8<-- [start:listeners]
class Stock(dict[str, int]):
    pass


async def open_stock() -> AsyncIterator[Stock]:
    stock = Stock(tea=3)
    yield stock
    stock.clear()


app.provide(Stock, open_stock, scope="app")


@app.get("/stock/{article}")
async def stock(article: str, stock: Stock) -> int:
    if article not in stock:
        raise NotFound(f"no {article}")
    return stock[article]


# --8<-- [end:listeners]


# --8<-- [start:middleware]
@app.middleware
async def load_user(request: Request, call_next: CallNext) -> Response[Any]:
    request.state.user = request.headers.get("x-user", "nobody")
    response = await call_next(request)
    response.headers.set("x-app", "shop")
    return response


@app.get("/me")
async def me(request: Request) -> dict[str, str]:
    return {"user": request.state.user}


# --8<-- [end:middleware]


# --8<-- [start:blueprint]
shop = Router("/shop")


@shop.get("/items")
async def items() -> list[str]:
    return ["tea", "pot"]


app.include(shop)
# --8<-- [end:blueprint]


# --8<-- [start:stream]
@app.get("/poem")
async def poem() -> AsyncIterator[str]:
    yield "Roses are red,\n"
    yield "violets are blue.\n"


# --8<-- [end:stream]


# --8<-- [start:errors]
class SoldOut(Exception):
    pass


@app.exception_handler(SoldOut)
async def sold_out(
    request: Request, error: SoldOut
) -> Response[dict[str, str]]:
    return Response({"sold out": str(error)}, status=409)


@app.get("/buy/{article}")
async def buy(article: str) -> str:
    raise SoldOut(article)


# --8<-- [end:errors]


@app.get("/")
async def home() -> str:
    return "home"
