"""The data of the benchmark by SQLAlchemy's async ORM, for the frameworks whose users take it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from data_contract import BOOKS, DATABASE, POOL, SQLITE, random_key, random_keys, with_added
from sqlalchemy import BigInteger, ForeignKey, String, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload


class Base(DeclarativeBase):
    type_annotation_map = {int: BigInteger}  # noqa: RUF012 - as SQLAlchemy declares it


class World(Base):
    __tablename__ = "world"
    id: Mapped[int] = mapped_column(primary_key=True)
    random_number: Mapped[int]


class Saying(Base):
    __tablename__ = "fortune"
    id: Mapped[int] = mapped_column(primary_key=True)
    message: Mapped[str]


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(50))
    pages: Mapped[int]
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
    author: Mapped[Author] = relationship()


class Note(Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(50))


def _engine(url: str) -> AsyncEngine:
    return create_async_engine(url, pool_size=POOL, max_overflow=0)


postgres = async_sessionmaker(
    _engine(DATABASE.replace("postgresql://", "postgresql+asyncpg://")), expire_on_commit=False
)
sqlite = async_sessionmaker(_engine(f"sqlite+aiosqlite:///{SQLITE}"), expire_on_commit=False)


async def postgres_session() -> AsyncGenerator[AsyncSession, None]:
    async with postgres() as session:
        yield session


async def sqlite_session() -> AsyncGenerator[AsyncSession, None]:
    async with sqlite() as session:
        yield session


async def one(session: AsyncSession) -> World:
    return await session.get_one(World, random_key())


async def several(session: AsyncSession, count: int) -> list[World]:
    return [await session.get_one(World, key) for key in random_keys(count)]


async def changed(session: AsyncSession, count: int) -> list[World]:
    found = await several(session, count)
    for row in found:
        row.random_number = random_key()
    await session.commit()
    return found


async def fortunes(session: AsyncSession) -> list[Any]:
    return with_added(list(await session.scalars(select(Saying))))


async def books(session: AsyncSession) -> Sequence[Book]:
    statement = select(Book).options(selectinload(Book.author)).order_by(Book.id).limit(BOOKS)
    return (await session.scalars(statement)).all()


async def add_note(session: AsyncSession, title: str) -> Note:
    note = Note(title=title)
    session.add(note)
    await session.commit()
    return note
