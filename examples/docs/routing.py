from __future__ import annotations

from datetime import date
from enum import Enum
from typing import Literal
from uuid import UUID

from quintet import App, Router

app = App()


# --8<-- [start:methods]
@app.get("/articles")
async def list_articles() -> list[str]:
    return ["first", "second"]


@app.post("/articles", status=201)
async def create_article() -> dict[str, str]:
    return {"created": "third"}


@app.route("/articles/search", ("GET", "POST"))
async def search_articles(q: str = "") -> dict[str, str]:
    return {"searched": q}


# --8<-- [end:methods]


# --8<-- [start:converters]
class Color(Enum):
    RED = "red"
    BLUE = "blue"


@app.get("/items/{id}")
async def item(id: int) -> dict[str, int]:
    return {"id": id}


@app.get("/items/{code}")
async def item_by_code(code: UUID) -> dict[str, UUID]:
    return {"code": code}


@app.get("/days/{day}")
async def day(day: date) -> dict[str, str]:
    return {"weekday": day.strftime("%A")}


@app.get("/colors/{color}")
async def color(color: Color) -> dict[str, Color]:
    return {"color": color}


@app.get("/units/{unit}")
async def unit(unit: Literal["metric", "imperial"]) -> dict[str, str]:
    return {"unit": unit}


@app.get("/posts/{name:slug}")
async def post(name: str) -> dict[str, str]:
    return {"slug": name}


@app.get("/tree/{rest:path}")
async def tree(rest: str) -> dict[str, str]:
    return {"rest": rest}


# --8<-- [end:converters]


# --8<-- [start:priority]
@app.get("/users/me")
async def me() -> str:
    return "the static segment wins"


@app.get("/users/{id}")
async def user(id: int) -> str:
    return f"then the number {id}"


@app.get("/users/{name}")
async def user_by_name(name: str) -> str:
    return f"then the text {name}"


# --8<-- [end:priority]


# --8<-- [start:reverse]
@app.get("/calendar/{day}/{room}", name="calendar")
async def calendar(day: date, room: str) -> dict[str, str]:
    return {
        "this": app.url_for("calendar", day=day, room=room),
        "other": app.url_for(
            "calendar", day=date(2030, 1, 31), room="Café & bar"
        ),
    }


# --8<-- [end:reverse]


# --8<-- [start:groups]
shop = Router("/shop", tags=["shop"], name="shop")
orders = Router("/orders")


@orders.get("")
async def list_orders() -> list[int]:
    return [1, 2]


@orders.get("/{id}", name="order")
async def show_order(id: int) -> dict[str, str]:
    return {"self": app.url_for("shop.order", id=id)}


shop.include(orders)
app.include(shop, prefix="/en")
# --8<-- [end:groups]
