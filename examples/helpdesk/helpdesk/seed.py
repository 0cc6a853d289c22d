"""What `quintet db seed` fills an empty database with: the same customers and tickets each time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

from sqlalchemy import select

from quintet import Database

from .models import Agent, Customer, Message, Priority, Status, Tag, Ticket

TICKETS = 1_000
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)

FIRST = (
    "Ada", "Amara", "Bo", "Chen", "Dana", "Elif", "Farid", "Grace", "Hana", "Ines", "Jonas", "Kofi", "Lucía", "Mei",
    "Nils", "Oona", "Priya", "Quentin", "Rosa", "Sven", "Tomás", "Uma", "Viktor", "Wanda", "Yusuf", "Zoë",
)  # fmt: skip
LAST = (
    "Adeyemi", "Bauer", "Castillo", "Dubois", "Eriksson", "Fischer", "Garcia", "Hopper", "Ito", "Jansen", "Kowalski",
    "Lindgren", "Moreau", "Nakamura", "Okafor", "Petrov", "Rossi", "Schmidt", "Tanaka", "Usman", "Varga", "Weber",
)  # fmt: skip
COMPANIES = (
    "Aurora Travel", "Bluebird Books", "Copper & Sons", "Delta Dental", "Elmtree Schools", "Foxglove Flowers",
    "Granite Gyms", "Harbour Hotels", None, None, None,
)  # fmt: skip
AGENTS = ("Ingrid Berg", "Kwame Mensah", "Léa Fontaine", "Marco Bianchi", "Sofia Novak")
#: For each tag, what is asked about it: a subject, and a text.
QUESTIONS = {
    "billing": (
        ("Charged twice for {month}", "My card was charged twice for {month}. Could you send one of the two back?"),
        ("Invoice for {month} is missing", "The invoice for {month} never arrived, and accounting is asking for it."),
        ("Change our billing address", "We moved. Please use the new address on all invoices from {month} on."),
    ),
    "login": (
        ("Cannot sign in since the update", "Since yesterday my password is refused. I have not changed it."),
        ("Reset link never arrives", "I asked for a reset link three times; nothing, in the spam folder neither."),
        ("Lost my second factor", "My telephone is gone, and the codes with it. How do I get in again?"),
    ),
    "export": (
        ("Export stops at 10,000 rows", "The export of {month} ends in the middle of a row. Is there a limit?"),
        ("Wrong separator in the CSV", "Our spreadsheet wants semicolons. Can the export have them?"),
    ),
    "mobile": (
        ("App closes when I attach a photo", "Each time I choose a photo, the app closes. It worked in {month}."),
        ("No notifications any more", "Since {month} my telephone is silent, although notifications are on."),
    ),
    "feature": (
        ("Dark mode, please", "We work at night. A dark mode would be a kindness to our eyes."),
        ("Calendar view for bookings", "A list is fine, a calendar would be better. Is one planned?"),
    ),
    "bug": (
        ("Search finds nothing with an umlaut", "Searching for “Müller” finds nothing, “Muller” does."),
        ("Times are an hour off", "All times of {month} are an hour early. Summer time, perhaps?"),
    ),
}
ANSWERS = (
    "Thank you for telling us. I am looking into it and come back to you today.",
    "I could see the same here. It is with our engineers now; I keep you informed.",
    "This is done. Would you try once more, and tell me if anything is still odd?",
    "Could you send a picture of what you see, and the time when it happened?",
)
THANKS = ("That was quick, thank you!", "It works now.", "Still the same here, I am afraid.", "Here it is, see above.")
MONTHS = ("August", "September", "October")


async def seed(database: Database) -> None:
    """Fill the database, unless there are customers already."""
    random = Random(2026)  # noqa: S311 - the same each time is what is wanted
    async with database.session() as db:
        if await db.first(select(Customer.id).limit(1)) is not None:
            return
        agents = [Agent(name=name) for name in AGENTS]
        tags = {name: Tag(name=name) for name in QUESTIONS}
        contract = tags["contract"] = Tag(name="contract")
        names = [(first, last) for first in FIRST for last in LAST]
        customers = [
            Customer(
                name=f"{first} {last}",
                email=f"{first}.{last}@example.com".lower(),
                company=random.choice(COMPANIES),
            )
            for first, last in random.sample(names, 250)
        ]
        db.add_all([*agents, *tags.values(), *customers])
        for number in range(TICKETS):
            opened = NOON - timedelta(minutes=(TICKETS - number) * 85 + random.randrange(80))
            ticket = _ticket(random, opened, random.choice(customers), agents, tags)
            if ticket.priority is Priority.URGENT and ticket.customer.company:
                ticket.tags.append(contract)
            db.add(ticket)


def _ticket(random: Random, opened: datetime, customer: Customer, agents: list[Agent], tags: dict[str, Tag]) -> Ticket:
    topic = random.choice(list(QUESTIONS))
    month = random.choice(MONTHS)
    subject, text = (part.format(month=month) for part in random.choice(QUESTIONS[topic]))
    priority = random.choices(list(Priority), [2, 6, 2, 1])[0]
    ticket = Ticket(subject=subject, priority=priority, customer=customer, opened_at=opened, tags=[tags[topic]])
    ticket.messages.append(Message(text=text, sent_at=opened))
    age = NOON - opened
    if age < timedelta(days=2) and random.random() < 0.5:
        return ticket  # nobody has looked at it yet
    agent = ticket.assignee = random.choice(agents)
    at = opened
    for _ in range(random.randint(1, 3)):
        at += timedelta(minutes=random.randint(5, 300))
        ticket.messages.append(Message(text=random.choice(ANSWERS), agent=agent, sent_at=at))
        ticket.status = Status.WAITING
        if random.random() < 0.4:
            at += timedelta(minutes=random.randint(5, 600))
            ticket.messages.append(Message(text=random.choice(THANKS), sent_at=at))
            ticket.status = Status.OPEN
    if random.random() < min(0.95, age / timedelta(days=20)):
        ticket.status = Status.CLOSED
        ticket.closed_at = at + timedelta(hours=1)
    return ticket
