"""A FastAPI app, as its authors would write it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.util import find_spec
from typing import Annotated, Any

from fastapi import FastAPI, Form, HTTPException, Request, UploadFile, WebSocket
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel

app = FastAPI()


class Item(BaseModel):
    name: str
    price: float


@app.get("/json")
async def get_json(name: str = "") -> dict[str, str]:
    return {"hello": name}


@app.post("/json")
async def post_json(value: dict[str, Any]) -> dict[str, Any]:
    return value


@app.post("/items")
def post_item(item: Item) -> Item:
    if item.price < 0:
        raise HTTPException(409, "too cheap")
    return item


if find_spec("python_multipart") is not None:  # FastAPI refuses forms without it

    @app.post("/form")
    async def form(a: Annotated[list[str], Form()]) -> dict[str, list[str]]:
        return {"a": a}

    @app.post("/upload")
    async def upload(file: UploadFile) -> dict[str, Any]:
        return {"name": file.filename, "size": len(await file.read())}


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def chunks() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d\n" % number

    return StreamingResponse(chunks(), media_type="text/plain")


@app.post("/count")
async def count(request: Request) -> dict[str, int]:
    return {"size": sum([len(chunk) async for chunk in request.stream()])}


@app.get("/large")
async def large() -> Response:
    return Response(b"x" * 5_000_000)


@app.get("/boom")
async def boom() -> None:
    raise ValueError("boom")


@app.get("/path/{rest:path}")
async def path(rest: str) -> dict[str, str]:
    return {"path": rest}


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(f"echo {text}")


def make_app() -> FastAPI:
    return app
