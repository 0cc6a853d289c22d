"""The data benchmark on FastAPI and SQLAlchemy: a session by dependency, objects as they come, models of pydantic."""

from __future__ import annotations

from typing import Annotated, Any

from contract import TEMPLATES
from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates
from peers import sqlalchemy_rows as rows
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

app = FastAPI()
templates = Jinja2Templates(TEMPLATES)
Session = Annotated[AsyncSession, Depends(rows.postgres_session)]
Count = Annotated[int, Query(ge=1, le=500)]


class Out(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class World(Out):
    id: int
    random_number: int


class Author(Out):
    id: int
    name: str


class Book(Out):
    id: int
    title: str
    pages: int
    author: Author


class NewNote(BaseModel):
    title: Annotated[str, Field(min_length=1, max_length=50)]


class Note(Out):
    id: int
    title: str


@app.get("/db", response_model=World)
async def one(session: Session) -> Any:
    return await rows.one(session)


@app.get("/queries", response_model=list[World])
async def queries(session: Session, n: Count = 20) -> Any:
    return await rows.several(session, n)


@app.post("/updates", response_model=list[World])
async def updates(session: Session, n: Count = 20) -> Any:
    return await rows.changed(session, n)


@app.get("/fortunes", response_class=HTMLResponse)
async def fortunes(request: Request, session: Session) -> Any:
    return templates.TemplateResponse(request, "fortunes.html", {"fortunes": await rows.fortunes(session)})


@app.get("/books", response_model=list[Book])
async def books(session: Session) -> Any:
    return await rows.books(session)


@app.post("/notes", response_model=Note)
async def add_note(note: NewNote, session: Session) -> Any:
    return await rows.add_note(session, note.title)


@app.get("/sqlite", response_model=World)
async def one_of_sqlite(session: Annotated[AsyncSession, Depends(rows.sqlite_session)]) -> Any:
    return await rows.one(session)
