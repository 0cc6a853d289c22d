from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Annotated

from sqlalchemy import Computed, select
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import selectinload

from quintet import (
    App,
    Database,
    Meta,
    Session,
    Struct,
    View,
    belongs_to,
    column,
    foreign_key,
    has_many,
    many_to_many,
    primary_key,
)
from quintet import Model as Root
from quintet.db import Mapped, Precision
from quintet.resources import resource


class Model(Root, database="default"):
    """A base of its own: the tests import this file more than once."""


Name = Annotated[str, Meta(max_length=40)]


# --8<-- [start:inheritance]
class Employee(Model):
    id: Mapped[int] = primary_key()
    kind: Mapped[Name] = column(init=False)
    name: Mapped[Name]
    __mapper_args__ = {
        "polymorphic_on": "kind",
        "polymorphic_identity": "employee",
    }


class Manager(Employee):
    budget: Mapped[int | None] = column(default=None)
    __mapper_args__ = {"polymorphic_identity": "manager"}


# --8<-- [end:inheritance]


# --8<-- [start:tree]
class Folder(Model):
    id: Mapped[int] = primary_key()
    name: Mapped[Name]
    parent_id: Mapped[int | None] = foreign_key(
        "folder.id", default=None, input=True
    )
    parent: Mapped[Folder | None] = belongs_to()
    children: Mapped[list[Folder]] = has_many()


class Person(Model):
    id: Mapped[int] = primary_key()
    name: Mapped[Name]
    follows: Mapped[list[Person]] = many_to_many(
        through="follow", back="followers"
    )
    followers: Mapped[list[Person]] = many_to_many(
        through="follow", back="follows"
    )


# --8<-- [end:tree]


# --8<-- [start:keys]
class Price(Model):
    country: Mapped[Annotated[str, Meta(max_length=2)]] = primary_key(
        input=True
    )
    product_id: Mapped[int] = foreign_key("product.id", primary_key=True)
    cents: Mapped[int]


# --8<-- [end:keys]


# --8<-- [start:computed]
class Product(Model):
    id: Mapped[int] = primary_key()
    price: Mapped[Annotated[Decimal, Precision.of(8, 2)]]
    amount: Mapped[int] = column(default=1)
    worth: Mapped[Annotated[Decimal, Precision.of(12, 2)]] = column(
        Computed("price * amount")
    )

    @hybrid_property
    def is_dear(self) -> bool:
        return self.price > 100


class DearProduct(Struct):
    id: int
    is_dear: bool


# --8<-- [end:computed]

database = Database("sqlite://")
app = App(plugins=[database])


@app.lifespan
async def tables() -> AsyncIterator[None]:
    await database.drop_all(Model)
    await database.create_all(Model)
    async with database.session() as db:
        db.add_all([Employee(name="Ada"), Manager(name="Bo", budget=3)])
    yield


# --8<-- [start:staff]
@app.get("/staff")
async def staff(db: Session) -> list[Employee | Manager]:
    return await db.many(select(Employee).order_by(Employee.id))


# --8<-- [end:staff]

# --8<-- [start:folders]
app.include(resource(Folder, view=View("parent", "children")))


class Branch(Struct):
    name: str
    children: list[Branch]


@app.get("/tree")
async def tree(db: Session) -> list[Branch]:
    roots = select(Folder).where(Folder.parent_id.is_(None))
    all_below = selectinload(Folder.children, recursion_depth=-1)
    return await db.many(roots.options(all_below))  # type: ignore[return-value]


# --8<-- [end:folders]


# --8<-- [start:price]
@app.put("/prices/{country}/{product_id}")
async def set_price(
    country: str, product_id: int, cents: int, db: Session
) -> Price:
    price = await db.get(Price, (country, product_id))
    if price is None:
        price = Price(country=country, product_id=product_id, cents=cents)
        db.add(price)
    price.cents = cents
    return price


# --8<-- [end:price]

app.include(resource(Product))
