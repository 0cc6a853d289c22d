"""The pages of customers: the list, and one with its tickets."""

from __future__ import annotations

from typing import Annotated

from quintet import Meta, Router, Session, Template

from .queries import customer_by_id, find_customers, find_tickets
from .settings import HelpdeskSettings

router = Router("/customers", name="customers", tags=["Customers"])
PageNumber = Annotated[int, Meta(ge=1, le=10_000)]


@router.get("", name="index")
async def index(
    db: Session,
    settings: HelpdeskSettings,
    q: Annotated[str, Meta(max_length=100)] | None = None,
    page: PageNumber = 1,
) -> Template:
    """Show customers.

    Args:
        q: A part of the name, or of the company's.
        page: The page, from 1.
    """
    return Template("customers.html", found=await db.page(find_customers(q), page, settings.page_size), q=q)


@router.get("/{number}", name="show")
async def show(number: int, db: Session, settings: HelpdeskSettings, page: PageNumber = 1) -> Template:
    """Show a customer with the tickets of theirs."""
    customer = await db.one(customer_by_id(number))
    found = await db.page(find_tickets(customer_id=number), page, settings.page_size)
    return Template("customer.html", customer=customer, found=found)
