"""A Litestar app, as its authors would write it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from litestar import Litestar, Request, Response, get, post, websocket
from litestar.connection import WebSocket
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.response import Stream


@get("/json")
async def get_json(name: str = "") -> dict[str, str]:
    return {"hello": name}


@post("/json", status_code=200)
async def post_json(data: dict[str, Any]) -> dict[str, Any]:
    return data


@post("/form", status_code=200)
async def form(data: Annotated[dict[str, Any], Body(media_type=RequestEncodingType.URL_ENCODED)]) -> dict[str, Any]:
    return data


@post("/upload", status_code=200)
async def upload(
    data: Annotated[dict[str, UploadFile], Body(media_type=RequestEncodingType.MULTI_PART)],
) -> dict[str, Any]:
    file = data["file"]
    return {"name": file.filename, "size": len(await file.read())}


@get("/stream")
async def stream() -> Stream:
    async def chunks() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d\n" % number

    return Stream(chunks(), media_type="text/plain")


@post("/count", status_code=200, request_max_body_size=None)
async def count(request: Request[Any, Any, Any]) -> dict[str, int]:
    return {"size": sum([len(chunk) async for chunk in request.stream()])}


@get("/large")
async def large() -> Response[bytes]:
    return Response(b"x" * 5_000_000)


@get("/boom")
async def boom() -> None:
    raise ValueError("boom")


@get("/path/{rest:path}")
async def path(rest: str) -> dict[str, str]:
    return {"path": rest.removeprefix("/")}


@websocket("/ws")
async def echo(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    async for text in socket.iter_data():
        await socket.send_text(f"echo {text}")


app = Litestar([get_json, post_json, form, upload, stream, count, large, boom, path, echo])
