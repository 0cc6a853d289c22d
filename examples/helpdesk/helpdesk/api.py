"""The API: JSON for programs, below /api; and the pages of what seldom changes, agents and tags."""

from __future__ import annotations

from typing import Annotated

from sqlalchemy import select
from sqlalchemy.orm import selectinload

from quintet import New, Router, Session, View, resource

from .models import Agent, Customer, Message, Status, Tag, Ticket

router = Router("/api")

router.include(
    resource(
        Ticket,
        path="/tickets",
        name="api.tickets",
        exclude=["delete"],
        filters=["status", "priority", "customer", "assignee", "tags", "opened_at"],
        search=["subject"],
        sorts=["id", "opened_at"],
        order="-id",
        pagination="cursor",
    )
)
router.include(
    resource(
        Customer,
        path="/customers",
        name="api.customers",
        filters=["company"],
        search=["name", "email"],
        sorts=["name"],
        order="name",
    )
)

# Lists that seldom change need no pages of their own: those of the resource do, in the app's layout.
PAGES = ("json", "html")
router.include(
    resource(Agent, path="/agents", name="agents", exclude=["delete"], order="name", produces=PAGES),
)
router.include(resource(Tag, path="/tags", name="tags", order="name", produces=PAGES))


# -- what is more than a row ----------------------------------------------------------------------------------------

conversations = Router("/tickets/{number}", name="api.tickets", tags=["Ticket"])
router.include(conversations)


@conversations.put("/status")
async def set_status(number: int, status: Status, db: Session) -> Ticket:
    """Open a ticket, let it wait, or close it."""
    ticket = await db.one(select(Ticket).where(Ticket.id == number))
    ticket.move_to(status)
    return ticket


@conversations.get("/messages")
async def list_messages(number: int, db: Session) -> Annotated[Ticket, View("messages", "messages.attachments")]:
    """Read a conversation."""
    return await db.one(
        select(Ticket)
        .where(Ticket.id == number)
        .options(selectinload(Ticket.messages).selectinload(Message.attachments))
    )


@conversations.post("/messages", status=201)
async def add_message(number: int, data: New[Message], db: Session) -> Message:
    """Say something about a ticket: then it waits for the customer, or for us where the customer said it."""
    ticket = await db.one(select(Ticket).where(Ticket.id == number))
    data.ticket_id = ticket.id
    db.add(data)
    ticket.move_to(Status.OPEN if data.agent_id is None else Status.WAITING)
    return data
