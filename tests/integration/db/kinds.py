"""Models of the less common kinds: inheritance, trees, links within a table, composite keys, computed columns."""
# ruff: noqa: RUF012 - `__mapper_args__` is written as SQLAlchemy's users know it

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Annotated, Any

import sqlalchemy as sa
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import column_property, declared_attr

from quintet import Meta
from quintet.db import (
    Mapped,
    Model,
    Precision,
    belongs_to,
    column,
    foreign_key,
    has_many,
    has_one,
    many_to_many,
    primary_key,
)

Name = Annotated[str, Meta(max_length=40)]


class Kinds(Model, database="default"):
    """The base of these models."""


# One table for all, and a table for each.


class Employee(Kinds):
    id: Mapped[int] = primary_key()
    kind: Mapped[Name] = column(init=False)
    name: Mapped[Name]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "employee"}


class Manager(Employee):
    budget: Mapped[int | None] = column(default=None)
    __mapper_args__ = {"polymorphic_identity": "manager"}


class Vehicle(Kinds):
    id: Mapped[int] = primary_key()
    kind: Mapped[Name] = column(init=False)
    name: Mapped[Name] = column(unique=True)
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "vehicle"}


class Car(Vehicle):
    __tablename__ = "car"
    id: Mapped[int] = foreign_key("vehicle.id", primary_key=True)
    doors: Mapped[Annotated[int, Meta(ge=1, le=9)]] = column(default=4, check=True)
    __mapper_args__ = {"polymorphic_identity": "car"}


# A mixin with a relation, a tree, and links of a table with itself.


class Owned:
    owner_id: Mapped[int | None] = foreign_key("person.id", input=True, default=None)
    owner: Mapped[Person | None] = belongs_to()


class Node(Owned, Kinds):
    id: Mapped[int] = primary_key()
    name: Mapped[Name]
    parent_id: Mapped[int | None] = foreign_key("node.id", ondelete="CASCADE", input=True, default=None)
    parent: Mapped[Node | None] = belongs_to()
    children: Mapped[list[Node]] = has_many()


class Person(Kinds):
    id: Mapped[int] = primary_key()
    name: Mapped[Name]
    friends: Mapped[list[Person]] = many_to_many()
    follows: Mapped[list[Person]] = many_to_many(through="follow", back="followers")
    followers: Mapped[list[Person]] = many_to_many(through="follow", back="follows")
    sent: Mapped[list[Message]] = has_many(back="sender")
    received: Mapped[list[Message]] = has_many(back="receiver")
    badge: Mapped[Badge | None] = has_one()


class Badge(Kinds):
    id: Mapped[int] = primary_key()
    person_id: Mapped[int] = foreign_key("person.id", unique=True)
    person: Mapped[Person] = belongs_to()


class Message(Kinds):
    id: Mapped[int] = primary_key()
    sender_id: Mapped[int] = foreign_key("person.id")
    receiver_id: Mapped[int] = foreign_key("person.id")
    sender: Mapped[Person] = belongs_to()
    receiver: Mapped[Person] = belongs_to()


# Keys of several columns; names that SQL has words for, or that are long.

LONG = "a_name_that_is_long_enough_for_its_constraints_to_be_cut"


class Order(Kinds):
    __tablename__ = "order"
    id: Mapped[int] = primary_key()
    lines: Mapped[list[Line]] = has_many(cascade="all, delete-orphan", input=True)


class Line(Kinds):
    __tablename__ = "select"
    order: Mapped[int] = foreign_key("order.id", primary_key=True)
    group: Mapped[int] = primary_key(input=True)
    from_: Mapped[Name] = column("from", unique=True)
    größe: Mapped[int] = column(default=1)  # noqa: PLC2401 - names are not all English
    parcel: Mapped[Order] = belongs_to(foreign_keys="Line.order")
    labels: Mapped[list[Label]] = many_to_many()


class Label(Kinds):
    __tablename__ = LONG
    id: Mapped[int] = primary_key()
    lines: Mapped[list[Line]] = many_to_many()
    a_column_with_a_name_that_is_long_enough_to_be_cut_as_well: Mapped[int] = column(unique=True)


# What the database computes, rounds and fills; what may be anything.


class Product(Kinds):
    id: Mapped[int] = primary_key()
    price: Mapped[Annotated[Decimal, Precision.of(8, 2)]]
    amount: Mapped[int] = column(default=1)
    worth: Mapped[Annotated[Decimal, Precision.of(12, 2)]] = column(sa.Computed("price * amount"))
    unit: Mapped[Name] = column(server_default="piece", input=True)
    touched: Mapped[datetime.datetime] = column(server_default=sa.func.now(), onupdate=sa.func.now())
    anything: Mapped[Any] = column(default=None)
    required: Mapped[Any] = column(default=0, nullable=False)
    manual: Mapped[str | None] = column(default=None, deferred=True)

    @declared_attr
    def shout(cls) -> Mapped[str]:
        return column_property(sa.func.upper(cls.unit))  # type: ignore[arg-type]

    @hybrid_property
    def is_dear(self) -> bool:
        return self.price > 100
