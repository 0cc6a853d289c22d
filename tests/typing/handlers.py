"""What type checkers see of handlers and what they ask for; checked by basedpyright and mypy, never run."""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Annotated, Any, assert_type

from quintet import (
    App,
    Body,
    Cookie,
    Depends,
    Event,
    File,
    Form,
    Header,
    Meta,
    Name,
    Page,
    Patch,
    Path,
    Query,
    Redirect,
    Request,
    Response,
    Stream,
    Struct,
    Upload,
)

app = App()


class Article(Struct):
    title: Annotated[str, Meta(max_length=120)]
    body: str = ""


class Database:
    def count(self) -> int:
        return 0


async def database(request: Request) -> AsyncIterator[Database]:
    assert_type(request.path, str)
    yield Database()


# The aliases are what they hold.


@app.get("/articles/{id}")
async def read(
    id: Path[int],
    page: Query[int],
    token: Header[Annotated[str, Name("X-Token")]],
    theme: Cookie[str | None] = None,
    since: Annotated[date | None, Meta(description="…")] = None,
) -> Article:
    assert_type(id, int)
    assert_type(page, int)
    assert_type(token, str)
    assert_type(theme, str | None)
    assert_type(since, date | None)
    return Article(title=token * page)


@app.post("/articles", status=201)
async def create(article: Article, db: Annotated[Database, Depends(database)]) -> Response[Article]:
    assert_type(db.count(), int)
    return Response(article, headers={"location": f"/articles/{db.count()}"}, cookies={"seen": "1"})


@app.put("/raw")
async def raw(data: Body[dict[str, int]]) -> dict[str, int]:
    assert_type(data, dict[str, int])
    return data


@app.patch("/articles/{id}")
async def edit(id: int, changes: Patch[Article]) -> Article:
    changed = changes.apply(Article(title="old"))
    assert_type(changed, Article)
    assert_type("title" in changes, bool)
    assert_type(changes.title, Any)
    changes.apply(Database())  # type: ignore[arg-type]  # not an Article
    return changed


@app.page("/signup", template="signup.html")
async def sign_up(form: Form[Article]) -> Page | Redirect:
    if form.valid:
        assert_type(form.data, Article)
        assert_type(form.errors_for("title"), list[str])
        return Redirect("/welcome")
    return Page(form=form)


@app.post("/files")
def upload(file: Upload, more: list[Upload]) -> File:
    assert_type(file.filename, str)
    return File(f"/srv/{len(more)}")


@app.get("/events")
async def events() -> AsyncIterator[Event[Article]]:
    yield Event(Article(title="x"), id="1", retry=1000)
    yield Event(5)  # type: ignore[arg-type]  # not an Article


@app.get("/stream")
async def stream() -> Stream:
    return Stream(iter([b"a", b"b"]))


# A decorator leaves the function as it is.
async def call_them() -> None:
    article = await read(1, 2, "token")
    assert_type(article, Article)
    assert_type(upload(file=None, more=[]), File)  # type: ignore[arg-type]  # no None
    await read("one", 2, "token")  # type: ignore[arg-type]  # not an int
