"""The target of the security tests: one app with every kind of route that an attack would look for.

`app` has no configuration, `guarded` has everything that a deployment behind a proxy would set.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import psutil

from quintet import (
    HTML,
    XML,
    App,
    BadRequest,
    Body,
    CallNext,
    Cookie,
    File,
    Form,
    Header,
    HTTPError,
    Limits,
    Meta,
    ProxyPolicy,
    Redirect,
    Request,
    Response,
    Stream,
    Struct,
    Template,
    WebSocket,
)
from quintet.http.paths import safe_join
from quintet.http.redirects import safe_redirect_target
from quintet.http.upload import Upload
from quintet.middleware.cors import cors
from quintet.middleware.https import https_only, https_only_guard

ROOT = Path(os.environ.get("QUINTET_SECURITY_ROOT") or tempfile.mkdtemp())
STATIC, STORED = ROOT / "static", ROOT / "stored"
TEMPLATES = ROOT / "templates"
for folder in (STATIC, STORED, TEMPLATES):
    folder.mkdir(parents=True, exist_ok=True)

SECRET = "hunter2-secret-of-the-database"
DATABASE_URL = f"postgresql://app:{SECRET}@db.internal/main"

app = App(templates=TEMPLATES)
app.static("/static", STATIC)

process = psutil.Process()
rows: list[dict[str, Any]] = []
calls: dict[str, int] = {}


class Item(Struct):
    name: Annotated[str, Meta(min_length=1, max_length=50)]
    quantity: Annotated[int, Meta(ge=0)] = 1
    price: Decimal = Decimal(0)
    tags: tuple[str, ...] = ()


class Contact(Struct):
    name: Annotated[str, Meta(min_length=1, max_length=50)]
    subscribed: bool = False


class Document(Struct):
    name: str
    note: Annotated[str | None, XML(name="note")] = None


class Color(Enum):
    RED = "red"
    BLUE = "blue"


@app.get("/probe", inline=True)
def probe() -> dict[str, Any]:
    """Tell what the tests want to know of this process."""
    return {
        "pid": os.getpid(),
        "cpu": time.process_time_ns(),
        "rss": process.memory_info().rss,
        "rows": len(rows),
        "stored": sorted(p.name for p in STORED.iterdir()),
        "calls": calls,
        "descriptors": process.num_fds(),
    }


async def echo(request: Request) -> dict[str, Any]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return {
        "method": request.method,
        "path": request.path,
        "url": request.url,
        "host": request.host,
        "scheme": request.scheme,
        "client": request.client,
        "query": request.query,
        "headers": request.headers.items(),
        "cookies": request.cookies,
        "length": size,
    }


app.route("/echo", ("GET", "POST", "PUT", "PATCH", "DELETE"))(echo)


@app.get("/echo/{rest:path}")
async def echo_path(rest: str, request: Request) -> dict[str, str]:
    return {"path": request.path, "rest": rest, "url": request.url}


@app.get("/items")
async def list_items(limit: Annotated[int, Meta(ge=1, le=100)] = 20, name: str = "") -> list[dict[str, Any]]:
    return [row for row in rows if name in row["name"]][:limit]


@app.get("/items/{id}")
async def get_item(id: int) -> dict[str, int]:
    return {"id": id}


@app.post("/api/items", status=201)
async def create_item(item: Item) -> Item:
    rows.append({"name": item.name})
    return item


@app.post("/api/any")
async def any_json(value: Body[Any]) -> Response[Any]:
    calls["any"] = calls.get("any", 0) + 1
    return Response(None, 204)


@app.post("/api/xml", accepts=("xml",))
async def read_xml(document: Document) -> Document:
    return document


@app.post("/form", accepts=("form", "multipart"))
async def post_form(contact: Contact) -> Contact:
    return contact


@app.post("/raw-form")
async def raw_form(request: Request) -> dict[str, Any]:
    form = await request.form()
    return {"items": [[k, v if isinstance(v, str) else f"<file {v.filename}>"] for k, v in form.items]}


@app.post("/checked-form", accepts=("form", "multipart"))
async def checked_form(form: Form[Contact]) -> dict[str, Any]:
    return {"valid": form.valid, "errors": len(form.errors)}


@app.post("/upload", max_body=8 * 1024 * 1024)
async def upload(file: Upload) -> dict[str, Any]:
    target = STORED / file.filename
    await file.save(target, overwrite=True)
    return {"name": file.filename, "size": file.size}


@app.get("/files/{name}")
async def stored_file(name: str) -> File:
    return File(safe_join(STORED, name), filename=name)


@app.get("/go")
async def go(request: Request, next: str = "") -> Redirect:
    return Redirect(safe_redirect_target(next, request.host) or "/")


@app.get("/")
async def home() -> HTML:
    return HTML("<!doctype html><title>Home</title>")


@app.get("/slash/{name}/")
async def with_slash(name: str) -> str:
    return name


@app.get("/render")
async def render(text: str = "") -> Template:
    return Template("render.html", text=text)


@app.get("/cached")
async def cached() -> Response[str]:
    return Response("the same", headers={"etag": '"1"', "cache-control": "max-age=60"})


@app.get("/stream")
async def stream() -> Stream:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 1000
            await asyncio.sleep(0)

    return Stream(chunks())


@app.get("/blob")
async def blob() -> bytes:
    return b"x" * 200_000


@app.get("/slow")
async def slow(seconds: float = 0.3) -> str:
    await asyncio.sleep(seconds)
    return "slow"


@app.post("/slow-then-read")
async def slow_then_read(request: Request) -> str:
    await asyncio.sleep(0.2)
    body = await request.body()
    calls["read"] = calls.get("read", 0) + 1
    return str(len(body))


@app.post("/ignore")
async def ignore_body() -> str:
    return "ignored"


@app.get("/headers")
async def read_headers(
    accept_language: Header[str] = "", session: Cookie[str] = "", if_none_match: Header[str] = ""
) -> dict[str, int]:
    return {"language": len(accept_language), "session": len(session), "tag": len(if_none_match)}


# -- converters -------------------------------------------------------------------------------------------------


@app.get("/convert/int/{value}")
async def convert_int(value: int) -> str:
    return str(value)


@app.get("/convert/float/{value}")
async def convert_float(value: float) -> str:
    return str(value)


@app.get("/convert/uuid/{value}")
async def convert_uuid(value: UUID) -> str:
    return str(value)


@app.get("/convert/date/{value}")
async def convert_date(value: date) -> str:
    return str(value)


@app.get("/convert/enum/{value}")
async def convert_enum(value: Color) -> str:
    return value.value


@app.get("/convert/str/{value}")
async def convert_str(value: str) -> str:
    return value


@app.get("/convert/slug/{value:slug}")
async def convert_slug(value: str) -> str:
    return value


@app.get("/convert/path/{value:path}")
async def convert_path(value: str) -> str:
    return value


# -- what fails -------------------------------------------------------------------------------------------------


class Odd:
    """Nothing can encode this."""


@app.get("/fail/handler")
async def fail_handler() -> str:
    password = SECRET
    raise RuntimeError(f"SELECT * FROM users WHERE password = {password!r}; {DATABASE_URL}")


@app.get("/fail/thread")
def fail_thread() -> str:
    raise RuntimeError(SECRET)


@app.get("/fail/template")
async def fail_template() -> Template:
    return Template("fail.html", nothing=None)


@app.get("/fail/missing-template")
async def fail_missing_template() -> Template:
    return Template("there-is-none.html")


async def failing_middleware(request: Request, call_next: CallNext) -> Response[Any]:
    response = await call_next(request)
    raise RuntimeError(f"{SECRET} {response.status}")


@app.get("/fail/middleware", middleware=[failing_middleware])
async def fail_middleware() -> str:
    return "never seen"


@app.get("/fail/serializer")
async def fail_serializer() -> dict[str, Any]:
    return {"value": Odd()}


@app.get("/fail/stream")
async def fail_stream() -> Stream:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"the first part"
        await asyncio.sleep(0.01)
        raise RuntimeError(SECRET)

    return Stream(chunks())


@app.get("/fail/recursion")
async def fail_recursion() -> str:
    def deeper(n: int) -> int:
        return deeper(n + 1) + 1

    return str(deeper(0))


@app.get("/fail/exit")
async def fail_exit() -> str:
    raise SystemExit(3)


@app.get("/fail/exit-later")
async def fail_exit_later() -> str:
    await asyncio.sleep(0.01)
    raise SystemExit(3)


@app.get("/fail/exit-thread")
def fail_exit_thread() -> str:
    raise SystemExit(3)


@app.get("/fail/interrupt")
async def fail_interrupt() -> str:
    raise KeyboardInterrupt


@app.get("/fail/interrupt-later")
async def fail_interrupt_later() -> str:
    await asyncio.sleep(0.01)
    raise KeyboardInterrupt


@app.get("/fail/cancelled")
async def fail_cancelled() -> str:
    raise asyncio.CancelledError


@app.get("/fail/group")
async def fail_group() -> str:
    raise BaseExceptionGroup("several", [SystemExit(3), ValueError(SECRET)])


@app.get("/fail/generator-exit")
async def fail_generator_exit() -> str:
    raise GeneratorExit


@app.get("/fail/stop")
async def fail_stop() -> str:
    raise StopAsyncIteration(SECRET)


@app.get("/fail/header")
async def fail_header(kind: str = "value") -> Response[str]:
    if kind == "name":
        return Response("x", headers={"X:Y": "1"})
    if kind == "cookie":
        response = Response("x")
        response.set_cookie("a", "b", path="/; Domain=evil.example")
        return response
    if kind == "reason":
        return Response("x", status="200 OK\r\nX-Injected: 1")  # type: ignore[arg-type]
    if kind == "type":
        return Response("x", media_type="text/plain\r\nX-Injected: 1")
    if kind == "location":
        return Redirect("/a\r\nX-Injected: 1")  # type: ignore[return-value]
    return Response("x", headers={"x-value": "a\r\nSet-Cookie: e=1"})


class Broken(Exception):
    """Its handler fails, too."""


@app.exception_handler(Broken)
async def broken(request: Request, error: Broken) -> Response[Any]:
    raise RuntimeError(SECRET)


@app.get("/fail/error-handler")
async def fail_error_handler() -> str:
    raise Broken


@app.get("/fail/http")
async def fail_http() -> str:
    raise HTTPError(418, "<script>alert(1)</script>")


@app.get("/fail/bad")
async def fail_bad(text: str = "") -> str:
    raise BadRequest(text)


# -- a deployment -----------------------------------------------------------------------------------------------

guarded = App(
    docs=False,
    allowed_hosts=["good.example", ".sub.example"],
    proxies=ProxyPolicy(["127.0.0.1"]),
    limits=Limits(body=1000, url=1024, header_count=20),
    middleware=[
        cors(
            ["https://good.example", "https://*.trusted.example"],
            methods=["GET", "PUT"],
            headers=["x-token"],
            credentials=True,
        )
    ],
)
guarded.route("/echo", ("GET", "PUT", "POST"))(echo)


@guarded.get("/private")
async def private() -> str:
    return "private"


secured = App(
    docs=False,
    allowed_hosts=["good.example"],
    proxies=ProxyPolicy(["127.0.0.1"]),
    middleware=[https_only()],
    guards=[https_only_guard()],
)
secured.route("/echo", ("GET", "PUT", "POST"))(echo)


@secured.get("/.well-known/acme-challenge/{token}")
async def challenge(token: str) -> str:
    return token


@secured.websocket("/socket")
async def socket(ws: WebSocket) -> None:
    await ws.accept()
