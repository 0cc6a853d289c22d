# pyright: basic
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import (
    APIRouter,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Query,
    Request,
    Response,
)
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field


# --8<-- [start:lifespan]
@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.stock = {"tea": 3}
    yield
    app.state.stock.clear()


app = FastAPI(lifespan=lifespan)


@app.get("/stock/{article}")
async def stock(article: str, request: Request) -> int:
    return request.app.state.stock[article]


# --8<-- [end:lifespan]


# --8<-- [start:parameters]
@app.get("/users/{id}")
async def user(
    id: int,
    verbose: bool = False,
    tags: Annotated[list[str] | None, Query()] = None,
):
    return {"id": id, "verbose": verbose, "tags": tags or []}


# --8<-- [end:parameters]


# --8<-- [start:body]
class Line(BaseModel):
    article: str
    quantity: int = Field(default=1, ge=1)


class Order(BaseModel):
    customer: str = Field(min_length=1)
    lines: list[Line]


@app.post("/orders", status_code=201)
async def create_order(order: Order) -> Order:
    return order


# --8<-- [end:body]


# --8<-- [start:output]
class Account(BaseModel):
    name: str


class StoredAccount(Account):
    password: str


@app.get("/account", response_model=Account)
async def account():
    return StoredAccount(name="Ada", password="secret")


# --8<-- [end:output]


# --8<-- [start:depends]
async def open_database() -> AsyncIterator[dict[str, str]]:
    database = {"ada": "Ada"}
    yield database
    database.clear()


async def find_user(
    database: Annotated[dict[str, str], Depends(open_database)],
    x_user: Annotated[str, Header()] = "",
) -> str:
    if x_user not in database:
        raise HTTPException(401, "who are you?")
    return database[x_user]


@app.get("/me")
async def me(user: Annotated[str, Depends(find_user)]):
    return {"user": user}


# --8<-- [end:depends]


# --8<-- [start:errors]
class SoldOut(Exception):
    pass


@app.exception_handler(SoldOut)
async def sold_out(request: Request, error: SoldOut):
    return JSONResponse({"sold out": str(error)}, status_code=409)


@app.get("/buy/{article}")
async def buy(article: str):
    if article == "gold":
        raise HTTPException(404, "no gold here")
    raise SoldOut(article)


# --8<-- [end:errors]


# --8<-- [start:router]
def staff_only(x_role: Annotated[str, Header()] = ""):
    if x_role != "staff":
        raise HTTPException(403)


office = APIRouter(
    prefix="/office", tags=["office"], dependencies=[Depends(staff_only)]
)


@office.get("/salaries")
async def salaries() -> list[int]:
    return [1, 2, 3]


app.include_router(office)
# --8<-- [end:router]


# --8<-- [start:response]
@app.put("/items/{id}")
async def put_item(id: int, response: Response):
    response.headers["X-Item"] = str(id)
    response.status_code = 201 if id > 100 else 200
    return {"id": id}


# --8<-- [end:response]
