"""The app that every server serves in `test_conformance.py`."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from pathlib import Path as FilePath
from tempfile import gettempdir
from typing import Annotated, Any

from quintet import (
    App,
    CallNext,
    Conflict,
    Cookie,
    Depends,
    Event,
    File,
    Header,
    Meta,
    Redirect,
    Request,
    Response,
    Router,
    Stream,
    Struct,
    Upload,
)

#: The first bytes of a file that is served.
CONTENT = bytes(range(256)) * 4096

app = App(docs=False, allowed_hosts=["127.0.0.1", "localhost", "example.com"])
state: dict[str, Any] = {"starts": 0}
notes: list[str] = []
variable: ContextVar[str] = ContextVar("variable", default="unset")

folder = FilePath(gettempdir()) / f"quintet-conformance-{os.getuid()}"
folder.mkdir(mode=0o700, exist_ok=True)
file = folder / "content.bin"
if not file.exists() or file.stat().st_size != len(CONTENT):
    temporary = folder / f"{os.getpid()}"
    temporary.write_bytes(CONTENT)
    temporary.replace(file)


@app.lifespan
async def life() -> AsyncIterator[None]:
    state["starts"] += 1
    state["loop"] = asyncio.get_running_loop()
    yield
    sys.stderr.write("the app has stopped\n")


class Connection:
    pass


async def open_connection() -> AsyncIterator[Connection]:
    yield Connection()


app.provide(Connection, open_connection, scope="app")


class Item(Struct):
    name: str
    size: Annotated[int, Meta(ge=1)]
    tags: tuple[str, ...] = ()


class Row(Struct):
    number: int


class Person(Struct):
    name: str
    age: int


# -- values ---------------------------------------------------------------------------------------------------------


@app.get("/")
async def index() -> dict[str, str]:
    return {"hello": "world"}


@app.get("/starts")
async def starts() -> dict[str, Any]:
    return {"starts": state["starts"], "same_loop": state["loop"] is asyncio.get_running_loop()}


@app.get("/connection")
async def connection(connection: Connection) -> str:
    return type(connection).__name__


@app.get("/hello/{name}")
async def hello(name: str, times: int = 1, x_tone: Header[str] = "") -> dict[str, Any]:
    return {"name": name, "times": times, "tone": x_tone}


@app.get("/numbers/{number}")
async def number(number: int) -> int:
    return number


@app.get("/rest/{path:path}")
async def rest(path: str) -> dict[str, str]:
    return {"path": path}


@app.get("/schön/日本")
async def unicode_path() -> str:
    return "ünï"


@app.get("/request")
async def describe(request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "path": request.path,
        "url": request.url,
        "host": request.host,
        "scheme": request.scheme,
        "client": request.client,
        "query": request.raw_query.decode("latin-1"),
        "agent": request.headers.get("user-agent"),
        "names": sorted(request.headers),
    }


@app.get("/cookies")
async def cookies(flavour: Cookie[str] = "none") -> Response[dict[str, str]]:
    response = Response({"flavour": flavour})
    response.set_cookie("one", "1")
    response.set_cookie("two", "2", samesite="Strict", max_age=60)
    return response


@app.get("/redirect")
async def redirect() -> Redirect:
    return Redirect("/hello/wörld")


@app.get("/nothing")
async def nothing() -> None:
    return None


@app.delete("/nothing")
def nothing_sync() -> None:
    return None


@app.get("/formats", produces=("json", "xml", "msgpack"))
async def formats() -> Item:
    return Item(name="a", size=1)


@app.get("/odd-status")
async def odd_status() -> Response[str]:
    return Response("odd", 299)


# -- bodies ---------------------------------------------------------------------------------------------------------


@app.post("/items", status=201)
async def create(item: Item) -> Item:
    return item


@app.post("/items-sync", status=201)
def create_sync(item: Item) -> Item:
    return item


@app.post("/size", max_body=64_000_000)
async def size(request: Request) -> dict[str, int]:
    total = chunks = 0
    async for chunk in request.stream():
        total += len(chunk)
        chunks += 1
    return {"size": total, "chunks": chunks}


@app.post("/echo", max_body=64_000_000)
async def echo(request: Request) -> Stream:
    return Stream(request.stream())


@app.post("/body")
async def body(request: Request) -> bytes:
    return await request.body()


@app.post("/noted")
async def noted(request: Request) -> str:
    content = await request.body()
    notes.append(f"noted {len(content)}")
    return "ok"


@app.post("/unread")
async def unread() -> str:
    return "unread"


@app.post("/form", accepts=("form", "multipart", "json"))
async def form(person: Person) -> Person:
    return person


@app.post("/form-sync", accepts=("form",))
def form_sync(person: Person) -> Person:
    return person


@app.post("/upload", max_body=16_000_000)
async def upload(document: Upload) -> dict[str, Any]:
    content = await document.read()
    return {"name": document.filename, "size": len(content), "type": document.content_type}


# -- streams --------------------------------------------------------------------------------------------------------


@app.get("/stream")
async def stream() -> Stream:
    async def chunks() -> AsyncIterator[bytes]:
        for index in range(5):
            yield b"%d\n" % index
            await asyncio.sleep(0.01)

    return Stream(chunks(), media_type="text/plain")


@app.get("/stream-sync")
def stream_sync() -> Iterator[int]:
    yield from range(5)


@app.get("/stream-rows", produces=("csv", "jsonl"))
async def stream_rows() -> AsyncIterator[Row]:
    for number in range(2):
        yield Row(number=number)


@app.get("/stream-big")
async def stream_big() -> Stream:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(256):
            yield b"x" * 65536

    return Stream(chunks())


@app.get("/stream-broken")
async def stream_broken() -> Stream:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"begun"
        await asyncio.sleep(0.05)
        raise OSError("the disk is gone")

    return Stream(chunks())


@app.get("/endless")
async def endless(request: Request) -> Stream:
    async def chunks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"tick\n"
                await asyncio.sleep(0.02)
        finally:
            notes.append(f"endless ended {request.raw_query.decode()}")

    return Stream(chunks(), media_type="text/plain")


@app.get("/events")
async def events() -> AsyncIterator[Event[dict[str, int]]]:
    for index in range(3):
        yield Event(data={"n": index}, id=str(index))


@app.get("/slow")
async def slow(request: Request) -> str:
    try:
        await asyncio.sleep(2)
    except asyncio.CancelledError:
        notes.append(f"slow cancelled {request.raw_query.decode()}")
        raise
    return "slow"


@app.get("/file")
def serve_file() -> File:
    return File(file)


# -- errors, context, threads ---------------------------------------------------------------------------------------


@app.get("/crash")
async def crash() -> str:
    raise ValueError("a secret detail")


@app.get("/crash-sync")
def crash_sync() -> str:
    raise ValueError("a secret detail")


@app.get("/conflict")
async def conflict() -> str:
    raise Conflict("taken", headers={"x-reason": "taken"})


class Teapot(Exception):
    pass


kitchen = Router()


@kitchen.exception_handler(Teapot)
async def on_teapot(request: Request, error: Teapot) -> Response[str]:
    await asyncio.sleep(0)
    return Response("short and stout", 418)


@kitchen.get("/teapot")
def teapot() -> str:
    raise Teapot


app.include(kitchen)


def add_note(text: str) -> None:
    notes.append(text)


@app.get("/after")
async def after(request: Request, key: str) -> str:
    async def callback() -> None:
        await asyncio.sleep(0)
        add_note(f"after {key}")

    request.call_after(callback)
    request.call_after(lambda: add_note(f"after sync {key}"))
    return "later"


@app.get("/after-sync")
def after_sync(request: Request, key: str) -> str:
    request.call_after(lambda: add_note(f"after {key}"))
    return "later"


@app.get("/notes")
async def read_notes() -> list[str]:
    return notes


def set_variable(value: str = "unset") -> str:
    before = variable.get()
    variable.set(value)
    return before


@app.get("/context")
async def context(before: Annotated[str, Depends(set_variable)]) -> dict[str, str]:
    await asyncio.sleep(0.001)
    return {"before": before, "now": variable.get()}


@app.get("/context-sync")
def context_sync(before: Annotated[str, Depends(set_variable)]) -> dict[str, str]:
    return {"before": before, "now": variable.get()}


@app.get("/task")
async def task() -> str:
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        made = group.create_task(asyncio.sleep(0.001, "grouped"))
    return made.result()


@app.get("/sync")
def sync_handler(request: Request) -> dict[str, Any]:
    time.sleep(0.001)
    return {
        "loop_here": _loop_here(),
        "thread": threading.current_thread().name,
        "protocol": request.connection.protocol,
    }


def _loop_here() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def opened() -> Iterator[str]:
    add_note("opened")
    yield "resource"
    add_note("closed")


@app.get("/dependency")
def dependency(resource: Annotated[str, Depends(opened)]) -> str:
    return resource


async def add_header(request: Request, call_next: CallNext) -> Response[Any]:
    response = await call_next(request)
    response.headers.set("x-middleware", "here")
    return response


@app.get("/middleware", middleware=[add_header])
def with_middleware() -> str:
    return "wrapped"


# -- mounted apps ---------------------------------------------------------------------------------------------------


async def mounted_asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError("HTTP alone")
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    text = f"{scope['method']} {scope['root_path']} {scope['path']} {scope['query_string'].decode()} {size}"
    headers = [(b"content-type", b"text/plain"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    for piece in (text[:4], text[4:]):
        await send({"type": "http.response.body", "body": piece.encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def mounted_wsgi(environ: Any, start_response: Any) -> list[bytes]:
    size = len(environ["wsgi.input"].read())
    path = environ["PATH_INFO"].encode("latin-1").decode()
    text = f"{environ['REQUEST_METHOD']} {environ['SCRIPT_NAME']} {path} {environ['QUERY_STRING']} {size}"
    start_response("201 Created", [("Content-Type", "text/plain"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return [text.encode()]


app.mount("/asgi", mounted_asgi)
app.mount("/wsgi", mounted_wsgi)
