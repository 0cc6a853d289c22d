import asyncio

from library import Author
from sqlalchemy import func, select

from quintet.db import Database, SyncSession
from quintet.testing.db import make, rolled_back

database = Database("sqlite://")


async def create_tables() -> None:
    await database.create_all()
    await database.dispose()


def number_of_authors() -> int:
    with SyncSession(database) as db:
        return db.scalar(select(func.count()).select_from(Author)) or 0


def test_without_fixtures() -> None:
    asyncio.run(create_tables())
    with rolled_back(database):
        with database.sync_session() as db:
            make(db, Author)
        assert number_of_authors() == 1
    assert number_of_authors() == 0
    database.dispose_sync()
