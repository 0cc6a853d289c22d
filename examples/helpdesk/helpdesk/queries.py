"""The questions that pages ask of the database, each compiled once."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Select, func, or_, select

from quintet import Struct, query

from .models import Agent, Customer, Message, Priority, Status, Tag, Ticket


class TicketRow(Struct):
    """A line of a list of tickets."""

    id: int
    subject: str
    status: Status
    priority: Priority
    customer_id: int
    customer: str
    company: str | None
    assignee: str | None
    opened_at: datetime
    closed_at: datetime | None
    messages: int


@query(into=TicketRow)
def find_tickets(
    search: str | None = None,
    status: Status | None = None,
    priority: Priority | None = None,
    assignee_id: int | None = None,
    customer_id: int | None = None,
    tag: str | None = None,
):
    """Find tickets, the newest first; None asks for any."""
    messages = select(func.count()).where(Message.ticket_id == Ticket.id).scalar_subquery()
    found = (
        select(
            Ticket.id,
            Ticket.subject,
            Ticket.status,
            Ticket.priority,
            Ticket.customer_id,
            Customer.name.label("customer"),
            Customer.company,
            Agent.name.label("assignee"),
            Ticket.opened_at,
            Ticket.closed_at,
            messages.label("messages"),
        )
        .join(Ticket.customer)
        .outerjoin(Ticket.assignee)
        .order_by(Ticket.id.desc())
    )
    if search is not None:
        found = found.where(or_(Ticket.subject.icontains(search), Customer.name.icontains(search)))
    if status is not None:
        found = found.where(Ticket.status == status)
    if priority is not None:
        found = found.where(Ticket.priority == priority)
    if assignee_id is not None:
        found = found.where(Ticket.assignee_id == assignee_id)
    if customer_id is not None:
        found = found.where(Ticket.customer_id == customer_id)
    if tag is not None:
        found = found.where(Ticket.tags.any(Tag.name == tag))
    return found


class StatusCount(Struct):
    """How many tickets have a status."""

    status: Status
    tickets: int


@query(into=StatusCount)
def count_tickets() -> Select[Status, int]:
    """Count the tickets of each status."""
    return select(Ticket.status, func.count(Ticket.id).label("tickets")).group_by(Ticket.status)


class CustomerRow(Struct):
    """A line of the list of customers."""

    id: int
    name: str
    email: str
    company: str | None
    open_tickets: int


@query(into=CustomerRow)
def find_customers(search: str | None = None):
    """Find customers by name, with the number of their tickets that are not closed."""
    tickets = (
        select(func.count()).where(Ticket.customer_id == Customer.id, Ticket.status != Status.CLOSED).scalar_subquery()
    )
    found = select(
        Customer.id, Customer.name, Customer.email, Customer.company, tickets.label("open_tickets")
    ).order_by(Customer.name, Customer.id)
    if search is not None:
        found = found.where(or_(Customer.name.icontains(search), Customer.company.icontains(search)))
    return found


@query
def customer_by_id(customer_id: int) -> Select[Customer]:
    """Find a customer."""
    return select(Customer).where(Customer.id == customer_id)


@query
def all_agents() -> Select[Agent]:
    """Find everyone who answers."""
    return select(Agent).order_by(Agent.name)


@query
def all_tags() -> Select[Tag]:
    """Find everything that tickets are about."""
    return select(Tag).order_by(Tag.name)
