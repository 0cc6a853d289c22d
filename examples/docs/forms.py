from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

from quintet import App, Form, Meta, Page, Redirect, Struct

app = App(templates=Path(__file__).parent / "templates")


# --8<-- [start:form]
class Booking(Struct):
    name: Annotated[str, Meta(min_length=1, max_length=80)]
    day: date
    guests: Annotated[int, Meta(ge=1, le=12)] = 2
    newsletter: bool = False


@app.page("/book", template="book.html")
async def book(form: Form[Booking]) -> Page | Redirect:
    if form.valid:
        booking = form.data  # a Booking
        return Redirect(f"/booked/{booking.day}/{booking.guests}")
    return Page(form=form)


# --8<-- [end:form]


@app.get("/booked/{day}/{guests}")
async def booked(day: date, guests: int) -> str:
    return f"{guests} guests on {day}"


# --8<-- [start:structure]
class Address(Struct):
    street: str
    city: str


class Customer(Struct):
    name: str
    address: Address
    phones: list[str] = []
    newsletter: bool = False


@app.post("/customers", accepts=("form", "json"))
async def customer(customer: Customer) -> Customer:
    return customer


# --8<-- [end:structure]
