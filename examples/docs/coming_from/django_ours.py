from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any

from quintet import (
    App,
    CallNext,
    Form,
    Meta,
    NotFound,
    Page,
    Redirect,
    Request,
    Response,
    Router,
    Struct,
)

app = App(templates=Path(__file__).parent / "templates")


# --8<-- [start:views]
@app.get("/articles/{year}/{slug:slug}")
def article(year: int, slug: str) -> dict[str, object]:
    return {"year": year, "slug": slug}


@app.get("/search")
def search(q: str = "", tags: list[str] = []) -> dict[str, object]:
    return {"q": q, "tags": tags}


# --8<-- [end:views]


# --8<-- [start:body]
class Order(Struct):
    article: Annotated[str, Meta(min_length=1, max_length=40)]
    quantity: Annotated[int, Meta(ge=1)]


@app.post("/orders", status=201)
def create_order(order: Order) -> Order:
    return order


# --8<-- [end:body]


# --8<-- [start:form]
class Contact(Struct):
    name: Annotated[str, Meta(min_length=1, max_length=40)]
    day: date
    newsletter: bool = False


@app.page("/contact", template="greeting.html")
def contact(form: Form[Contact]) -> Page | Redirect:
    if form.valid:
        return Redirect(app.url_for("thanks", year=form.data.day.year))
    return Page(form=form, name="?" if form.submitted else "you")


@app.get("/thanks/{year}")
def thanks(year: int) -> dict[str, int]:
    return {"year": year}


# --8<-- [end:form]


# --8<-- [start:errors]
ARTICLES = {1: "tea"}
shop = Router("/shop")


@shop.get("/items/{id}")
def detail(id: int) -> dict[str, str]:
    try:
        return {"name": ARTICLES[id]}
    except KeyError:
        raise NotFound(f"no article {id}") from None


# --8<-- [end:errors]


# --8<-- [start:middleware]
@app.middleware
async def add_header(request: Request, call_next: CallNext) -> Response[Any]:
    response = await call_next(request)
    response.headers.set("x-app", "shop")
    return response


# --8<-- [end:middleware]


# --8<-- [start:urls]
app.include(shop)
# --8<-- [end:urls]
