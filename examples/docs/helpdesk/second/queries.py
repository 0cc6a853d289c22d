from __future__ import annotations

from models import Message, Status, Ticket
from sqlalchemy import Select, func, select

from quintet import Struct, query


class Line(Struct):
    id: int
    subject: str
    status: Status
    messages: int


@query(into=Line)
def tickets(
    status: Status | None = None, search: str | None = None
) -> Select[int, str, Status, int]:
    found = (
        select(
            Ticket.id,
            Ticket.subject,
            Ticket.status,
            func.count(Message.id).label("messages"),
        )
        .outerjoin(Ticket.messages)
        .group_by(Ticket.id, Ticket.subject, Ticket.status)
        .order_by(Ticket.id.desc())
    )
    if status is not None:
        found = found.where(Ticket.status == status)
    if search is not None:
        found = found.where(Ticket.subject.icontains(search))
    return found
