from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from quintet import (
    App,
    Depends,
    Forbidden,
    Header,
    Meta,
    NotFound,
    Request,
    Response,
    Router,
    Struct,
    Unauthorized,
)

# --8<-- [start:lifespan]
app = App()


class Stock(dict[str, int]):
    pass


async def open_stock() -> AsyncIterator[Stock]:
    stock = Stock(tea=3)
    yield stock
    stock.clear()


app.provide(Stock, open_stock, scope="app")


@app.get("/stock/{article}")
async def stock(article: str, stock: Stock) -> int:
    return stock[article]


# --8<-- [end:lifespan]


# --8<-- [start:parameters]
@app.get("/users/{id}")
async def user(
    id: int, verbose: bool = False, tags: list[str] = []
) -> dict[str, object]:
    return {"id": id, "verbose": verbose, "tags": tags}


# --8<-- [end:parameters]


# --8<-- [start:body]
class Line(Struct):
    article: str
    quantity: Annotated[int, Meta(ge=1)] = 1


class Order(Struct):
    customer: Annotated[str, Meta(min_length=1)]
    lines: list[Line]


@app.post("/orders", status=201)
async def create_order(order: Order) -> Order:
    return order


# --8<-- [end:body]


# --8<-- [start:output]
class Account(Struct):
    name: str


class StoredAccount(Account):
    password: str


@app.get("/account")
async def account() -> Account:
    return StoredAccount(name="Ada", password="secret")


# --8<-- [end:output]


# --8<-- [start:depends]
class Database(dict[str, str]):
    pass


async def open_database() -> AsyncIterator[Database]:
    database = Database(ada="Ada")
    yield database
    database.clear()


app.provide(Database, open_database)


async def find_user(database: Database, x_user: Header[str] = "") -> str:
    if x_user not in database:
        raise Unauthorized("who are you?")
    return database[x_user]


@app.get("/me")
async def me(user: Annotated[str, Depends(find_user)]) -> dict[str, str]:
    return {"user": user}


# --8<-- [end:depends]


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
    if article == "gold":
        raise NotFound("no gold here")
    raise SoldOut(article)


# --8<-- [end:errors]


# --8<-- [start:router]
async def staff_only(request: Request) -> None:
    if request.headers.get("x-role") != "staff":
        raise Forbidden


office = Router("/office", tags=["office"], guards=[staff_only])


@office.get("/salaries")
async def salaries() -> list[int]:
    return [1, 2, 3]


app.include(office)
# --8<-- [end:router]


# --8<-- [start:response]
@app.put("/items/{id}")
async def put_item(id: int) -> Response[dict[str, int]]:
    return Response(
        {"id": id},
        status=201 if id > 100 else 200,
        headers={"x-item": str(id)},
    )


# --8<-- [end:response]
