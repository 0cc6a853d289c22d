"""What type checkers see of structs, responses and results; checked by basedpyright and mypy, never run."""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from typing import Annotated, assert_type

from quintet import HTML, Bounds, EventStream, Meta, Page, Redirect, Response, Struct, Template


class Base(Struct):
    id: int


class Article(Base):
    title: Annotated[str, Meta(min_length=1)]
    rating: Annotated[float, Bounds(ge=0, le=5)] = 0.0
    note: str | None = None


# Structs are made by keyword, with types.
article = Article(id=1, title="t", note=None)
assert_type(article.rating, float)
Article(id=1)  # type: ignore[call-arg]  # the title is missing
Article(1, "t")  # type: ignore[call-arg]  # by keyword only
Article(id="1", title="t")  # type: ignore[arg-type]  # an id is an int
Article(id=1, title="t", colour="red")  # type: ignore[call-arg]  # no such field

# A response carries the type of its data.
response = Response(article, 201)
assert_type(response, Response[Article])
assert_type(response.data, Article)
assert_type(response.status, int | None)
Response(article, "201")  # type: ignore[arg-type]  # a status is a number
Response(article, headers={"x-count": 5})  # type: ignore[arg-type]  # text only
response.set_cookie("a", "b", same_site="lax")  # type: ignore[call-arg]  # samesite


def wrong() -> Response[Article]:
    return Response("text")  # type: ignore[arg-type]  # no Article


def nothing() -> Response[None]:
    return Response(None, 204)


# Every result is a value of its own.
Redirect("/x", permanent=True)  # type: ignore[call-arg]  # no such option
Template("page.html", rows=[1], block="main")
Template("page.html", block=5)  # type: ignore[arg-type]  # a block is a name
Page(form=5, anything="goes")
text: str = HTML("<b>")
EventStream([1])  # type: ignore[arg-type]  # an async iterable
