from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from quintet import (
    App,
    CallNext,
    Depends,
    Form,
    Header,
    Meta,
    Page,
    Redirect,
    Request,
    Response,
    Router,
    Struct,
    Template,
)

app = App(templates=Path(__file__).parent / "templates")


# --8<-- [start:routes]
@app.get("/users/{id}")
def user(id: int) -> dict[str, object]:
    return {"id": id, "self": app.url_for("user", id=id)}


# --8<-- [end:routes]


# --8<-- [start:query]
@app.get("/search")
def search(
    q: str = "", page: int = 1, tags: list[str] = []
) -> dict[str, object]:
    return {"q": q, "page": page, "tags": tags}


# --8<-- [end:query]


# --8<-- [start:body]
class Order(Struct):
    article: str
    quantity: Annotated[int, Meta(ge=1)] = 1


@app.post("/orders", status=201)
def create_order(order: Order) -> Order:
    return order


# --8<-- [end:body]


# --8<-- [start:page]
@app.get("/greet/{name}")
def greet(name: str) -> Template:
    return Template("greeting.html", name=name)


# --8<-- [end:page]


# --8<-- [start:form]
class Signature(Struct):
    name: Annotated[str, Meta(min_length=1)]


@app.page("/sign", template="greeting.html")
def sign(form: Form[Signature]) -> Page | Redirect:
    if form.valid:
        return Redirect(app.url_for("greet", name=form.data.name))
    return Page(form=form, name="nobody" if form.submitted else "you")


# --8<-- [end:form]


# --8<-- [start:errors]
class SoldOut(Exception):
    pass


@app.exception_handler(SoldOut)
def sold_out(request: Request, error: SoldOut) -> Response[dict[str, str]]:
    return Response({"sold out": str(error)}, status=409)


@app.get("/buy/{article}")
def buy(article: str) -> str:
    raise SoldOut(article)


# --8<-- [end:errors]


# --8<-- [start:before]
def find_user(x_user: Header[str] = "nobody") -> str:
    return x_user


@app.get("/me")
def me(user: Annotated[str, Depends(find_user)]) -> dict[str, str]:
    return {"user": user}


# --8<-- [end:before]


# --8<-- [start:after]
@app.middleware
async def add_header(request: Request, call_next: CallNext) -> Response[Any]:
    response = await call_next(request)
    response.headers.set("x-app", "shop")
    return response


# --8<-- [end:after]


# --8<-- [start:blueprint]
shop = Router("/shop")


@shop.get("/items")
def items() -> list[str]:
    return ["tea", "pot"]


app.include(shop)
# --8<-- [end:blueprint]
