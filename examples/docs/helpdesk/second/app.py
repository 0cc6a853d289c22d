# --8<-- [start:app]
from __future__ import annotations

from typing import Annotated

from models import Message, Status, Ticket
from queries import tickets
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from quintet import (
    App,
    Database,
    Form,
    Meta,
    New,
    Page,
    Redirect,
    Session,
    Template,
    resource,
)

database = Database()
app = App(title="Helpdesk", templates="templates", plugins=[database])
app.include(
    resource(
        Ticket,
        path="/tickets",
        filters=["status"],
        search=["subject"],
        produces=("json", "html"),
    )
)


# --8<-- [end:app]


# --8<-- [start:list]
@app.get("/")
async def index(
    db: Session,
    status: Status | None = None,
    q: str | None = None,
    page: Annotated[int, Meta(ge=1, le=1000)] = 1,
) -> Template:
    found = await db.page(tickets(status, q), page, size=20)
    return Template("index.html", found=found, status=status, q=q)


# --8<-- [end:list]


# --8<-- [start:new]
@app.page("/new", template="new.html")
async def new(form: Form[New[Ticket]], db: Session) -> Page | Redirect:
    if not form.valid:
        return Page(form=form)
    db.add(form.data)
    return Redirect("/")


# --8<-- [end:new]


# --8<-- [start:ticket]
@app.page("/{number}", template="ticket.html")
async def ticket(
    number: int, form: Form[New[Message]], db: Session
) -> Page | Redirect:
    ticket = await db.one(
        select(Ticket)
        .where(Ticket.id == number)
        .options(selectinload(Ticket.messages))
    )
    if not form.valid:
        return Page(form=form, ticket=ticket)
    ticket.messages.append(form.data)
    return Redirect(f"/{number}")


# --8<-- [end:ticket]
