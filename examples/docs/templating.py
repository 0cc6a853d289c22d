from __future__ import annotations

from pathlib import Path

from quintet import App, Struct, Template

# --8<-- [start:app]
app = App(templates=Path(__file__).parent / "templates")


class Article(Struct):
    name: str
    price: int


ARTICLES = [Article(name="Tea & honey", price=7), Article(name="Pot", price=30)]


@app.get("/shop", template="shop/index.html")
async def shop() -> dict[str, list[Article]]:
    return {"articles": ARTICLES}


@app.get("/shop/{number}")
async def article(number: int) -> Template:
    return Template("shop/article.html", article=ARTICLES[number - 1])


# --8<-- [end:app]


# --8<-- [start:block]
@app.get("/shop/{number}/price")
async def price(number: int) -> Template:
    return Template(
        "shop/article.html", block="price", article=ARTICLES[number - 1]
    )


# --8<-- [end:block]
