from __future__ import annotations

from pathlib import Path

from quintet import (
    App,
    FieldError,
    HTTPError,
    NotFound,
    Request,
    Response,
    Router,
    ValidationError,
)

app = App(templates=Path(__file__).parent / "templates")


# --8<-- [start:raise]
@app.get("/articles/{id}")
async def article(id: int) -> dict[str, int]:
    if id > 10:
        raise NotFound(f"there is no article {id}")
    if id == 7:
        raise HTTPError(
            402,
            "buy it first",
            type="https://example.com/problems/payment",
            extra={"price": 3},
        )
    return {"id": id}


# --8<-- [end:raise]


# --8<-- [start:fields]
taken = {"ada"}


@app.post("/names/{name}")
async def take(name: str) -> str:
    if name in taken:
        raise ValidationError(
            [
                FieldError(
                    loc=("path", "name"),
                    msg="This name is taken.",
                    code="unique",
                )
            ]
        )
    taken.add(name)
    return name


# --8<-- [end:fields]


# --8<-- [start:handler]
class OutOfStock(Exception):
    def __init__(self, article: str) -> None:
        self.article = article


@app.exception_handler(OutOfStock)
async def out_of_stock(
    request: Request, error: OutOfStock
) -> Response[dict[str, str]]:
    return Response({"sold out": error.article}, status=409)


@app.post("/orders/{article}")
async def order(article: str) -> str:
    raise OutOfStock(article)


# --8<-- [end:handler]


# --8<-- [start:group]
shop = Router("/shop")


@shop.exception_handler(LookupError)
async def not_there(request: Request, error: LookupError) -> None:
    raise NotFound("the shop does not have that") from error


@shop.get("/{name}")
async def show(name: str) -> int:
    return {"tea": 3}[name]


app.include(shop)
# --8<-- [end:group]


# --8<-- [start:unexpected]
@app.get("/broken")
async def broken() -> str:
    raise RuntimeError("the password is hunter2")


# --8<-- [end:unexpected]
