"""A Starlette app, as its authors would write it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

done: list[str] = []


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    print("starlette starts", flush=True)
    yield {"started": "yes"}
    print("starlette stops", flush=True)


async def get_json(request: Request) -> Response:
    return JSONResponse({"hello": request.query_params.get("name", "")})


async def post_json(request: Request) -> Response:
    return JSONResponse(await request.json())


async def form(request: Request) -> Response:
    async with request.form() as fields:
        return JSONResponse({"a": fields.getlist("a")})


async def upload(request: Request) -> Response:
    async with request.form() as fields:
        file: Any = fields["file"]
        return JSONResponse({"name": file.filename, "size": len(await file.read())})


async def stream(request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        for number in range(5):
            await asyncio.sleep(0)
            yield b"%d\n" % number

    return StreamingResponse(chunks(), media_type="text/plain")


async def count(request: Request) -> Response:
    return JSONResponse({"size": sum([len(chunk) async for chunk in request.stream()])})


async def large(request: Request) -> Response:
    return Response(b"x" * 5_000_000)


async def boom(request: Request) -> Response:
    raise ValueError("boom")


async def path(request: Request) -> Response:
    raw = request.scope["raw_path"].decode()
    return JSONResponse({"path": request.path_params["rest"], "raw": raw, "root": request.scope["root_path"]})


async def client(request: Request) -> Response:
    assert request.client is not None
    return JSONResponse({"host": request.client.host, "port": request.client.port, "scheme": request.url.scheme})


async def events(request: Request) -> Response:
    async def lines() -> AsyncIterator[str]:
        try:
            for number in range(1000):
                yield f"data: {number}\n\n"
                await asyncio.sleep(0.02)
        finally:
            done.append("events closed")

    return StreamingResponse(lines(), media_type="text/event-stream")


async def background(request: Request) -> Response:
    async def later() -> None:
        await asyncio.sleep(0.3)
        done.append("background")

    return JSONResponse({"accepted": True}, background=BackgroundTask(later))


async def what_is_done(request: Request) -> Response:
    return JSONResponse(done)


async def state(request: Request) -> Response:
    return JSONResponse({"started": request.state.started})


async def file(request: Request) -> Response:
    return FileResponse(__file__)


async def echo(websocket: WebSocket) -> None:
    offered = websocket.scope["subprotocols"]
    await websocket.accept(subprotocol=offered[-1] if offered else None, headers=[(b"x-hosted", b"yes")])
    async for text in websocket.iter_text():
        if text == "close":
            await websocket.close(4001, "as asked")
            return
        if text == "fail":
            raise ValueError("as asked")
        await websocket.send_text(f"echo {text}")
    done.append("socket closed")


async def refuse(websocket: WebSocket) -> None:
    await websocket.close()


async def deny(websocket: WebSocket) -> None:
    await websocket.send_denial_response(JSONResponse({"no": "entry"}, 402, headers={"x-why": "unpaid"}))


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/json", get_json),
        Route("/json", post_json, methods=["POST"]),
        Route("/form", form, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        Route("/stream", stream),
        Route("/count", count, methods=["POST"]),
        Route("/large", large),
        Route("/boom", boom),
        Route("/path/{rest:path}", path),
        Route("/client", client),
        Route("/events", events),
        Route("/background", background),
        Route("/done", what_is_done),
        Route("/state", state),
        Route("/file", file),
        WebSocketRoute("/ws", echo),
        WebSocketRoute("/refuse", refuse),
        WebSocketRoute("/deny", deny),
    ],
)
