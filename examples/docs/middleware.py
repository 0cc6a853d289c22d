from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Any

from quintet import App, CallNext, Forbidden, Request, Response, Router

app = App()


# --8<-- [start:middleware]
@app.middleware
async def timing(request: Request, call_next: CallNext) -> Response[Any]:
    start = perf_counter()
    response = await call_next(request)
    response.headers.set(
        "server-timing", f"app;dur={(perf_counter() - start) * 1000:.1f}"
    )
    return response


# --8<-- [end:middleware]


# --8<-- [start:levels]
async def shout(request: Request, call_next: CallNext) -> Response[Any]:
    response = await call_next(request)
    if isinstance(response.content, bytes):
        response.content = response.content.upper()
    return response


loud = Router("/loud", middleware=[shout])


@loud.get("/hello")
async def loud_hello() -> str:
    return "hello"


@app.get("/loud-too", middleware=[shout])
async def loud_too() -> str:
    return "hello"


app.include(loud)
# --8<-- [end:levels]


# --8<-- [start:answer]
async def closed_on_demand(
    request: Request, call_next: CallNext
) -> Response[Any]:
    if "closed" in request.query:
        return Response(
            {"message": "come back later"},
            status=503,
            headers={"retry-after": "60"},
        )
    return await call_next(request)


@app.get("/maybe", middleware=[closed_on_demand])
async def maybe() -> str:
    return "open"


# --8<-- [end:answer]


# --8<-- [start:guard]
async def staff_only(request: Request) -> None:
    if request.headers.get("x-role") != "staff":
        raise Forbidden("this is for staff")


office = Router("/office", guards=[staff_only])


@office.get("/salaries")
async def salaries() -> list[int]:
    return [1, 2, 3]


app.include(office)
# --8<-- [end:guard]


# --8<-- [start:lifespan]
events: list[str] = []


@app.lifespan
async def life() -> AsyncIterator[None]:
    events.append("the app starts")
    yield
    events.append("the app ends")


# --8<-- [end:lifespan]


# --8<-- [start:timeout]
@app.get("/slow", timeout=0.05)
async def slow() -> str:
    await asyncio.sleep(10)
    return "too late"


# --8<-- [end:timeout]
