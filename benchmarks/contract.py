"""What both servers of the benchmark serve: types, data and requests."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

TEMPLATES = Path(__file__).parent / "templates"

Sku = Annotated[str, Meta(pattern="^[A-Z]{3}-[0-9]{4}$")]
Email = Annotated[str, Meta(pattern=r"^[^@\s]+@[^@\s]+\.[a-z]+$", max_length=254)]


class Address(msgspec.Struct, forbid_unknown_fields=True):
    street: str
    city: str
    postcode: Annotated[str, Meta(min_length=3, max_length=10)]
    country: Annotated[str, Meta(min_length=2, max_length=2)]


class Customer(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    email: Email
    address: Address


class Item(msgspec.Struct, forbid_unknown_fields=True):
    sku: Sku
    name: str
    quantity: Annotated[int, Meta(gt=0, le=1000)]
    unit_price: Annotated[float, Meta(ge=0)]
    gift: bool = False


class Order(msgspec.Struct, forbid_unknown_fields=True):
    id: UUID
    customer: Customer
    status: Literal["new", "paid", "shipped"]
    placed_at: datetime
    items: Annotated[list[Item], Meta(min_length=1)]
    notes: str | None = None


class PricedOrder(msgspec.Struct):
    id: UUID
    customer: Customer
    status: Literal["new", "paid", "shipped"]
    placed_at: datetime
    items: list[Item]
    notes: str | None
    total: float


def priced(order: Order) -> PricedOrder:
    """Return an order with its total."""
    total = round(sum(i.quantity * i.unit_price for i in order.items), 2)
    return PricedOrder(order.id, order.customer, order.status, order.placed_at, order.items, order.notes, total)


ORDER = json.dumps(
    {
        "id": "1b671a64-40d5-491e-99b0-da01ff1f3341",
        "customer": {
            "name": "Ada Lovelace",
            "email": "ada@example.org",
            "address": {"street": "12 St James's Square", "city": "London", "postcode": "SW1Y 4JH", "country": "GB"},
        },
        "status": "paid",
        "placed_at": "2026-11-23T12:00:00Z",
        "items": [
            {"sku": f"ABC-{n:04}", "name": f"Item {n}", "quantity": n + 1, "unit_price": 9.99, "gift": n % 2 == 0}
            for n in range(8)
        ],
        "notes": "Leave at the door.",
    },
    separators=(",", ":"),
).encode()


class Fortune(msgspec.Struct):
    id: int
    message: str


FORTUNES = [Fortune(n, f"A saying, number {n}, about patience & care.") for n in range(1, 12)] + [
    Fortune(12, '<script>alert("This should not be displayed.");</script>')
]


def route_paths() -> list[str]:
    """Return a thousand templates with one or two parameters."""
    out: list[str] = []
    for group in range(10):
        for resource in range(20):
            base = f"/api/g{group}/res{resource}"
            out += [
                base,
                f"{base}/{{id}}",
                f"{base}/{{id}}/items",
                f"{base}/{{id}}/items/{{item_id}}",
                f"{base}/{{id}}/items/{{item_id}}/history",
            ]
    return out
