"""The pages of tickets: the list, one ticket with its conversation, a new one; the list as CSV; attachments."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from quintet import (
    Conflict,
    File,
    Form,
    Meta,
    Page,
    Redirect,
    Router,
    Session,
    Struct,
    Template,
    Upload,
)

from .files import FileStore
from .models import Attachment, Customer, Email, Message, Name, Priority, Status, Subject, Tag, Text, Ticket
from .queries import TicketRow, all_agents, all_tags, count_tickets, find_tickets
from .settings import HelpdeskSettings

router = Router("/tickets", name="tickets", tags=["Tickets"])
#: Bytes of a message with its attachments.
LARGEST = 10_000_000
#: What selections offer.
CHOICES: dict[str, Any] = {"statuses": list(Status), "priorities": list(Priority)}


class Wanted(Struct):
    """Which tickets a list shows."""

    q: Annotated[str, Meta(max_length=100)] | None = None
    status: Status | None = None
    priority: Priority | None = None
    agent: int | None = None
    tag: str | None = None

    def query(self) -> dict[str, str]:
        """Return what is wanted as the query of an address, without the page."""
        given = msgspec.to_builtins(self)
        return {name: str(given[name]) for name in Wanted.__struct_fields__ if given[name] is not None}


class WantedPage(Wanted):
    """A page of a list."""

    page: Annotated[int, Meta(ge=1, le=10_000)] = 1


# -- the list -------------------------------------------------------------------------------------------------------


@router.get("", name="index")
async def index(wanted: WantedPage, db: Session, settings: HelpdeskSettings) -> Template:
    """Show tickets."""
    query = find_tickets(wanted.q, wanted.status, wanted.priority, wanted.agent, None, wanted.tag)
    found = await db.page(query, wanted.page, settings.page_size)
    return Template(
        "tickets.html",
        found=found,
        wanted=wanted,
        counts={row.status: row.tickets for row in await db.many(count_tickets())},
        agents=await db.many(all_agents()),
        tags=await db.many(all_tags()),
        **CHOICES,
    )


@router.get("/export.csv", name="export", produces=("csv",))
async def export(wanted: Wanted, db: Session) -> AsyncIterator[TicketRow]:
    """Write the tickets of a list as CSV, however many they are."""
    query = find_tickets(wanted.q, wanted.status, wanted.priority, wanted.agent, None, wanted.tag)
    async for row in db.stream(query):
        yield row


# -- one ticket -----------------------------------------------------------------------------------------------------


class Reply(Struct):
    """What is said next."""

    text: Text
    #: The agent who says it; None where it is the customer.
    agent: int | None = None
    files: list[Upload] = []


@router.page("/{number}", name="show", template="ticket.html", max_body=LARGEST)
async def show(number: int, form: Form[Reply], db: Session, store: FileStore) -> Page | Redirect:
    """Show a ticket with its conversation, and take a reply."""
    ticket = await db.one(
        select(Ticket)
        .where(Ticket.id == number)
        .options(
            selectinload(Ticket.customer),
            selectinload(Ticket.tags),
            selectinload(Ticket.messages).selectinload(Message.agent),
            selectinload(Ticket.messages).selectinload(Message.attachments),
        )
    )
    if form.valid:
        reply = form.data
        files = [await store.add(file) for file in reply.files]
        ticket.messages.append(Message(text=reply.text, agent_id=reply.agent, attachments=files))
        ticket.move_to(Status.OPEN if reply.agent is None else Status.WAITING)
        return Redirect(f"/tickets/{number}#end")
    agents, tags = await db.many(all_agents()), await db.many(all_tags())
    return Page(form=form, ticket=ticket, agents=agents, tags=tags, **CHOICES)


class Change(Struct):
    """What becomes of a ticket; `version` is the one that the page showed."""

    version: int
    status: Status
    priority: Priority
    agent: int | None = None
    tags: list[int] = []


@router.post("/{number}/change", name="change", accepts=("form",), produces=("html",))
async def change(number: int, data: Change, db: Session) -> Redirect:
    """Change a ticket, unless another has changed it since the page was shown."""
    ticket = await db.one(select(Ticket).where(Ticket.id == number).options(selectinload(Ticket.tags)))
    if ticket.version != data.version:
        raise Conflict("Somebody has changed this ticket meanwhile. Look at it again, then change it.")
    ticket.move_to(data.status)
    ticket.priority = data.priority
    ticket.assignee_id = data.agent
    ticket.tags = await db.many(select(Tag).where(Tag.id.in_(data.tags)))
    return Redirect(f"/tickets/{number}")


@router.get("/{number}/files/{attachment_id}", name="file")
async def file(number: int, attachment_id: int, db: Session, store: FileStore) -> File:
    """Send an attachment."""
    attachment = await db.one(
        select(Attachment)
        .join(Message, Attachment.message_id == Message.id)
        .where(Attachment.id == attachment_id, Message.ticket_id == number)
    )
    return File(store.path(attachment), media_type=attachment.media_type, filename=attachment.name, inline=False)


# -- a new ticket ---------------------------------------------------------------------------------------------------


class NewTicket(Struct):
    """A question as it comes in, of a customer who may be new."""

    name: Name
    email: Email
    subject: Subject
    text: Text
    priority: Priority = Priority.NORMAL
    files: list[Upload] = []


@router.page("/new", name="new", template="new_ticket.html", max_body=LARGEST)
async def new(form: Form[NewTicket], db: Session, store: FileStore) -> Page | Redirect:
    """Take a question."""
    if not form.valid:
        return Page(form=form, **CHOICES)
    data = form.data
    customer = await db.first(select(Customer).where(Customer.email == data.email))
    ticket = Ticket(
        subject=data.subject,
        priority=data.priority,
        customer=customer or Customer(name=data.name, email=data.email),
        messages=[Message(text=data.text, attachments=[await store.add(file) for file in data.files])],
    )
    db.add(ticket)
    await db.flush()
    return Redirect(f"/tickets/{ticket.id}")
