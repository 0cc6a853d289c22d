"""Testing: clients that call an app in process, a server in a thread, fixtures for pytest.

`httpx2` is needed (`pip install "quintet[test]"`), and loaded when a client is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quintet.testing.client import AsyncClient as AsyncClient
    from quintet.testing.client import Client as Client
    from quintet.testing.live import live_server as live_server
    from quintet.testing.websocket import AsyncWebSocketSession as AsyncWebSocketSession
    from quintet.testing.websocket import WebSocketRefused as WebSocketRefused
    from quintet.testing.websocket import WebSocketSession as WebSocketSession

__all__ = [
    "AsyncClient",
    "AsyncWebSocketSession",
    "Client",
    "WebSocketRefused",
    "WebSocketSession",
    "live_server",
]

_PLACES = {
    "AsyncClient": "quintet.testing.client",
    "AsyncWebSocketSession": "quintet.testing.websocket",
    "Client": "quintet.testing.client",
    "WebSocketRefused": "quintet.testing.websocket",
    "WebSocketSession": "quintet.testing.websocket",
    "live_server": "quintet.testing.live",
}


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    try:
        module = import_module(place)
    except ModuleNotFoundError as exc:
        if exc.name != "httpx2":
            raise
        raise ModuleNotFoundError('the test client needs httpx2: pip install "quintet[test]"', name="httpx2") from None
    return getattr(module, name)
