from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Annotated

from sqlalchemy import func

from quintet import (
    Mapped,
    Meta,
    Model,
    belongs_to,
    column,
    foreign_key,
    has_many,
    primary_key,
)


class Status(Enum):
    OPEN = "open"
    CLOSED = "closed"


class Ticket(Model):
    id: Mapped[int] = primary_key()
    subject: Mapped[Annotated[str, Meta(min_length=3, max_length=120)]]
    status: Mapped[Status] = column(default=Status.OPEN)
    opened_at: Mapped[datetime] = column(server_default=func.now())
    messages: Mapped[list[Message]] = has_many(input=True)


class Message(Model):
    id: Mapped[int] = primary_key()
    ticket_id: Mapped[int] = foreign_key("ticket.id", ondelete="CASCADE")
    ticket: Mapped[Ticket] = belongs_to()
    text: Mapped[Annotated[str, Meta(min_length=1, max_length=5000)]]
    sent_at: Mapped[datetime] = column(server_default=func.now())
