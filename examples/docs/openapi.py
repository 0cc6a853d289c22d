from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from quintet import (
    App,
    Conflict,
    Depends,
    Request,
    Response,
    Struct,
    ValidationError,
)
from quintet.openapi.plugin import OpenAPIPlugin
from quintet.openapi.security import HTTPBearer, OAuth2, ScopedToken

# --8<-- [start:plugin]
app = App(
    title="Books",
    version="1.2.0",
    description="What we sell, and **who** wrote it.",
    docs=False,  # the plugin below instead of the one with default settings
    plugins=[
        OpenAPIPlugin(
            docs="public",
            tags={"books": "Everything about books."},
            extra={"info": {"license": {"name": "MIT"}}},
        )
    ],
)
# --8<-- [end:plugin]


# --8<-- [start:route]
class Book(Struct):
    """A book that we sell."""

    title: Annotated[
        str,
        Meta(min_length=1, description="As on the cover.", examples=["Emma"]),
    ]
    pages: Annotated[int, Meta(gt=0)]


@app.post("/books", status=201, tags=["books"], responses={409: Conflict})
async def add_book(book: Book, notify: bool = False) -> Book:
    """Add a book.

    It can be **ordered** at once.

    Args:
        notify: tell those who wait for it.
    """
    if book.title == "Emma":
        raise Conflict("we have this one")
    return book


# --8<-- [end:route]


# --8<-- [start:shape]
class Failure(Struct):
    """How this API says that input is wrong."""

    wrong: list[str]


@app.exception_handler(ValidationError)
async def wrong_input(
    request: Request, error: ValidationError
) -> Response[Failure]:
    return Response(
        Failure(wrong=[".".join(map(str, e.loc)) for e in error.errors]),
        error.status,
    )


# --8<-- [end:shape]


# --8<-- [start:security]
bearer = HTTPBearer("JWT")
oauth = OAuth2("/token", scopes={"books:read": "Read books."})
reader = Depends(oauth.needs("books:read"))


@app.get("/me")
async def me(token: Annotated[str, Depends(bearer)]) -> str:
    """Say whose token this is."""
    if token != "good":  # noqa: S105 - an example
        raise bearer.refuse("this token is unknown")
    return "Ada"


@app.get("/shelf")
async def shelf(
    token: Annotated[ScopedToken, reader],
) -> str:
    """Read books; check that `token.token` has `token.scopes`."""
    return "Emma"


# --8<-- [end:security]


# --8<-- [start:callbacks]
@app.post(
    "/subscribe",
    status=202,
    openapi={
        "callbacks": {
            "sold": {
                "{$request.query.url}": {
                    "post": {"responses": {"204": {"description": "Seen."}}}
                }
            }
        }
    },
)
async def subscribe(url: str) -> None:
    """Hear of every book that is sold."""


# --8<-- [end:callbacks]
