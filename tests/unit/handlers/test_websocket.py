from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import pytest

from quintet import App, ConfigurationError, Depends, Form, Struct, Upload, WebSocket


class Message(Struct):
    text: str


class Plain:
    def __init__(self) -> None:
        self.value = 1


def problem_of(handler: Callable[..., Any], path: str = "/ws") -> str:
    app = App(docs=False)
    app.websocket(path)(handler)
    with pytest.raises(ConfigurationError) as caught:
        _ = app.dispatcher
    (problem,) = caught.value.problems
    assert problem.where
    return f"{problem.message} — {problem.fix}"


def test_a_handler_takes_a_websocket_or_a_message() -> None:
    async def neither(name: str) -> None: ...

    assert "takes neither a WebSocket nor a message" in problem_of(neither)


def test_a_def_handler_cannot_use_a_websocket() -> None:
    def handler(ws: WebSocket) -> None: ...

    assert "async def" in problem_of(handler)


def test_a_generator_is_no_handler() -> None:
    async def handler(ws: WebSocket) -> AsyncIterator[str]:
        yield "x"

    assert "websocket.send" in problem_of(handler)


def test_forms_and_uploads_are_no_messages() -> None:
    async def form(message: Form[Message]) -> None: ...

    async def upload(file: Upload) -> None: ...

    assert "takes a form" in problem_of(form)
    assert "takes a upload" in problem_of(upload)


def test_a_dependency_takes_no_message() -> None:
    async def read(message: Message) -> str:
        return message.text

    async def handler(ws: WebSocket, text: Annotated[str, Depends(read)]) -> None: ...

    assert "dependencies are called once" in problem_of(handler)


def test_a_message_has_a_type_that_can_be_read() -> None:
    async def handler(ws: WebSocket[Plain, str]) -> None: ...

    assert "Plain" in problem_of(handler)


def test_an_unused_path_parameter_is_told() -> None:
    async def handler(ws: WebSocket) -> None: ...

    assert "{room}" in problem_of(handler, "/ws/{room}")


def test_two_routes_of_one_path_are_duplicates_and_a_page_is_not() -> None:
    app = App(docs=False)

    async def handler(ws: WebSocket) -> None: ...

    async def other(ws: WebSocket) -> None: ...

    async def page() -> str:
        return "page"

    app.websocket("/ws")(handler)
    app.get("/ws")(page)
    assert app.dispatcher.find_websocket("/ws") is not None
    app.websocket("/ws")(other)
    with pytest.raises(ConfigurationError, match="taken already"):
        _ = app.dispatcher


def test_the_types_of_a_websocket_have_defaults() -> None:
    assert WebSocket[Message] == WebSocket[Message, Any]
