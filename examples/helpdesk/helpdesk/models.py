"""The tables. What clients may write, what they see and what pages check follows from these classes."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Annotated

from sqlalchemy import Index

from quintet import Meta, Model, belongs_to, column, foreign_key, has_many, many_to_many, primary_key
from quintet.db import Mapped, Versioned

Name = Annotated[str, Meta(min_length=1, max_length=80)]
Email = Annotated[str, Meta(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=200)]
Subject = Annotated[str, Meta(min_length=3, max_length=120)]
Text = Annotated[str, Meta(min_length=1, max_length=10_000)]


def now() -> datetime:
    """Return this moment."""
    return datetime.now(UTC)


class Status(Enum):
    """Who has to act: we, the customer, or nobody any more."""

    OPEN = "open"
    WAITING = "waiting"
    CLOSED = "closed"


class Priority(Enum):
    """How much a ticket matters."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


class Customer(Model):
    """Someone who asks."""

    id: Mapped[int] = primary_key()
    name: Mapped[Name]
    email: Mapped[Email] = column(unique=True)
    company: Mapped[Annotated[str, Meta(max_length=80)] | None] = column(default=None)
    tickets: Mapped[list[Ticket]] = has_many()


class Agent(Model):
    """Someone who answers."""

    id: Mapped[int] = primary_key()
    name: Mapped[Name] = column(unique=True)


class Tag(Model):
    """What a ticket is about."""

    id: Mapped[int] = primary_key()
    name: Mapped[Annotated[str, Meta(pattern="^[a-z][a-z0-9-]*$", max_length=30)]] = column(unique=True)


class Ticket(Versioned, Model):
    """A question, until it is answered."""

    __table_args__ = (Index(None, "status", "id"),)

    id: Mapped[int] = primary_key()
    subject: Mapped[Subject]
    status: Mapped[Status] = column(default=Status.OPEN, check=True, input=False)
    priority: Mapped[Priority] = column(default=Priority.NORMAL, check=True)
    customer_id: Mapped[int] = foreign_key("customer.id", input=True)
    assignee_id: Mapped[int | None] = foreign_key("agent.id", ondelete="SET NULL", default=None, input=True)
    opened_at: Mapped[datetime] = column(default=now, input=False)
    closed_at: Mapped[datetime | None] = column(default=None, input=False)

    customer: Mapped[Customer] = belongs_to()
    assignee: Mapped[Agent | None] = belongs_to()
    messages: Mapped[list[Message]] = has_many(cascade="all, delete-orphan", order_by="Message.id")
    tags: Mapped[list[Tag]] = many_to_many(order_by="Tag.name")

    def move_to(self, status: Status) -> None:
        """Change the status, and the time of closing with it."""
        if status is not self.status:
            self.status = status
            self.closed_at = now() if status is Status.CLOSED else None


class Message(Model):
    """What the customer or an agent says about a ticket."""

    id: Mapped[int] = primary_key()
    ticket_id: Mapped[int] = foreign_key("ticket.id", ondelete="CASCADE")
    #: The agent who wrote it; None where the customer did.
    agent_id: Mapped[int | None] = foreign_key("agent.id", ondelete="SET NULL", default=None, input=True)
    text: Mapped[Text]
    sent_at: Mapped[datetime] = column(default=now, input=False)

    agent: Mapped[Agent | None] = belongs_to()
    attachments: Mapped[list[Attachment]] = has_many(cascade="all, delete-orphan", order_by="Attachment.id")


class Attachment(Model):
    """A file that came with a message; its content is in the folder of uploads."""

    id: Mapped[int] = primary_key()
    message_id: Mapped[int] = foreign_key("message.id", ondelete="CASCADE")
    name: Mapped[Annotated[str, Meta(max_length=100)]]
    media_type: Mapped[Annotated[str, Meta(max_length=100)]]
    size: Mapped[int]
    #: What the file is called in the folder.
    stored_as: Mapped[Annotated[str, Meta(max_length=40)]] = column(unique=True, private=True)
