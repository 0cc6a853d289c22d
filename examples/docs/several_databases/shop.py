from __future__ import annotations

from typing import Annotated

from sqlalchemy import func, select

from quintet import (
    App,
    Database,
    Header,
    Meta,
    Model,
    Session,
    Use,
    column,
    primary_key,
    resource,
)
from quintet.config import load_settings
from quintet.db import DatabaseSettings, Mapped


# --8<-- [start:models]
class Reports(Model, database="reports"):
    """The base of the models in the database of reports."""


class Customer(Model):
    id: Mapped[int] = primary_key()
    name: Mapped[Annotated[str, Meta(max_length=50)]] = column(unique=True)


class Visit(Reports):
    customer_id: Mapped[int] = primary_key(input=True)
    day: Mapped[Annotated[str, Meta(max_length=10)]] = primary_key(input=True)
    pages: Mapped[Annotated[int, Meta(ge=1)]]


# --8<-- [end:models]
# --8<-- [start:app]
class ReportsSettings(DatabaseSettings, section="reports"):
    """`REPORTS_URL` and its neighbours."""


settings = load_settings(ReportsSettings)[ReportsSettings]


def counter(x_counter: Header[str | None] = None) -> str | None:
    """Say which counter of visits asks."""
    return x_counter


app = App(plugins=[Database(), Database(name="reports", settings=settings)])
app.include(resource(Customer))
app.include(resource(Visit, idempotency=counter))
# --8<-- [end:app]


# --8<-- [start:both]
@app.post("/customers/{name}/visits/{day}", status=201)
async def begin(
    name: str,
    day: str,
    db: Session,
    reports: Annotated[Session, Use("reports")],
) -> Customer:
    customer = Customer(name=name)
    db.add(customer)
    await db.flush()
    reports.add(Visit(customer_id=customer.id, day=day, pages=1))
    return customer


@app.get("/pages")
async def pages(db: Session) -> dict[str, int]:
    visits = select(Visit.customer_id, func.sum(Visit.pages))
    rows = await db.many(visits.group_by(Visit.customer_id))
    counted = {key: int(number) for key, number in rows}
    customers = await db.many(select(Customer))
    return {c.name: counted.get(c.id, 0) for c in customers}


# --8<-- [end:both]
