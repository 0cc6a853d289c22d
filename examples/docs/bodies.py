from __future__ import annotations

from hashlib import sha256
from typing import Annotated

from quintet import App, Meta, Patch, Request, Struct

app = App()


# --8<-- [start:accepts]
class Article(Struct):
    title: Annotated[str, Meta(min_length=1)]
    tags: list[str] = []


@app.post("/articles", status=201, accepts=("json", "msgpack", "xml", "form"))
async def create(article: Article) -> Article:
    return article


# --8<-- [end:accepts]


# --8<-- [start:optional]
@app.post("/drafts")
async def draft(article: Article | None = None) -> str:
    return "an empty draft" if article is None else article.title


# --8<-- [end:optional]


# --8<-- [start:patch]
articles = {1: Article(title="Tea", tags=["green"])}


@app.patch("/articles/{id}")
async def edit(id: int, changes: Patch[Article]) -> Article:
    return changes.apply(articles[id])


# --8<-- [end:patch]


# --8<-- [start:stream]
@app.post("/digest", max_body=100_000_000)
async def digest(request: Request) -> dict[str, str]:
    seen = sha256()
    async for chunk in request.stream():
        seen.update(chunk)
    return {"sha256": seen.hexdigest()}


# --8<-- [end:stream]


# --8<-- [start:limit]
@app.post("/shout", max_body=20)
async def shout(request: Request) -> str:
    return (await request.body()).decode().upper()


# --8<-- [end:limit]
