from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, TypedDict

import attrs
from pydantic import BaseModel, Field

from quintet import App, Body, Bounds, Meta, Struct

app = App()


# --8<-- [start:struct]
class Line(Struct):
    article: str
    quantity: Annotated[int, Meta(gt=0, le=100)] = 1


class Order(Struct):
    customer: Annotated[str, Meta(min_length=1)]
    lines: Annotated[list[Line], Meta(min_length=1)]


@app.post("/struct")
async def with_struct(order: Order) -> Order:
    return order


# --8<-- [end:struct]


# --8<-- [start:dataclass]
@dataclass
class Point:
    x: int
    y: int


@app.post("/dataclass")
async def with_dataclass(point: Point) -> Point:
    return point


# --8<-- [end:dataclass]


# --8<-- [start:attrs]
@attrs.define
class Circle:
    radius: float


@app.post("/attrs")
async def with_attrs(circle: Circle) -> Circle:
    return circle


# --8<-- [end:attrs]


# --8<-- [start:typeddict]
class Address(TypedDict):
    street: str
    city: str


@app.post("/typeddict")
async def with_typeddict(address: Address) -> Address:
    return address


# --8<-- [end:typeddict]


# --8<-- [start:pydantic]
class Account(BaseModel):
    name: str = Field(min_length=3)
    age: int = Field(ge=18)


@app.post("/pydantic")
async def with_pydantic(account: Account) -> Account:
    return account


# --8<-- [end:pydantic]


# --8<-- [start:tagged]
class Card(Struct, tag="card"):
    number: str


class Transfer(Struct, tag="transfer"):
    iban: str


@app.post("/pay")
async def pay(payment: Card | Transfer) -> dict[str, str]:
    match payment:
        case Card():
            return {"by": "card"}
        case Transfer():
            return {"by": "transfer"}


# --8<-- [end:tagged]


# --8<-- [start:plain]
@app.post("/sum")
async def total(numbers: Body[list[int]]) -> int:
    return sum(numbers)


@app.post("/anything")
async def anything(data: Body[dict[str, object]]) -> list[str]:
    return sorted(data)


# --8<-- [end:plain]


# --8<-- [start:residual]
class Invoice(Struct):
    amount: Annotated[Decimal, Meta(gt=0, le=10_000)]
    discount: Annotated[int | None, Meta(ge=0, le=100)] = None
    due: Annotated[date, Bounds(ge=date(2000, 1, 1))] = date(2030, 1, 1)
    kind: Literal["invoice", "credit"] = "invoice"


@app.post("/invoices")
async def invoice(invoice: Invoice) -> Invoice:
    return invoice


# --8<-- [end:residual]
