from enum import Enum
from typing import Annotated

from quintet import Mapped, Meta, Model, column, primary_key


class Status(Enum):
    OPEN = "open"
    CLOSED = "closed"


class Ticket(Model):
    id: Mapped[int] = primary_key()
    subject: Mapped[Annotated[str, Meta(min_length=3, max_length=120)]]
    status: Mapped[Status] = column(default=Status.OPEN)
