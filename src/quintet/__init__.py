"""Quintet: one Python web framework that does the work of five.

Names are loaded when they are first used, so that `import quintet` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from quintet._version import __version__ as __version__

if TYPE_CHECKING:
    from quintet.config import Secret as Secret
    from quintet.config import Settings as Settings
    from quintet.errors import BadRequest as BadRequest
    from quintet.errors import ConfigurationError as ConfigurationError
    from quintet.errors import Conflict as Conflict
    from quintet.errors import FieldError as FieldError
    from quintet.errors import Forbidden as Forbidden
    from quintet.errors import HTTPError as HTTPError
    from quintet.errors import NotFound as NotFound
    from quintet.errors import Unauthorized as Unauthorized
    from quintet.errors import ValidationError as ValidationError
    from quintet.factory import App as App
    from quintet.handlers.params import Body as Body
    from quintet.handlers.params import Cookie as Cookie
    from quintet.handlers.params import Depends as Depends
    from quintet.handlers.params import Form as Form
    from quintet.handlers.params import Header as Header
    from quintet.handlers.params import Name as Name
    from quintet.handlers.params import Patch as Patch
    from quintet.handlers.params import Path as Path
    from quintet.handlers.params import Query as Query
    from quintet.handlers.threads import ThreadSettings as ThreadSettings
    from quintet.handlers.versions import Versioning as Versioning
    from quintet.hooks import Plugin as Plugin
    from quintet.http.context import current_request as current_request
    from quintet.http.file import File as File
    from quintet.http.forwarded import ProxyPolicy as ProxyPolicy
    from quintet.http.limits import Limits as Limits
    from quintet.http.request import Request as Request
    from quintet.http.response import HTML as HTML
    from quintet.http.response import EventStream as EventStream
    from quintet.http.response import Page as Page
    from quintet.http.response import Redirect as Redirect
    from quintet.http.response import Response as Response
    from quintet.http.response import Stream as Stream
    from quintet.http.response import Template as Template
    from quintet.http.security import SecurityHeaders as SecurityHeaders
    from quintet.http.sse import Event as Event
    from quintet.http.upload import Upload as Upload
    from quintet.http.websocket import WebSocket as WebSocket
    from quintet.http.websocket import WebSocketDisconnect as WebSocketDisconnect
    from quintet.http.websocket import WebSocketOptions as WebSocketOptions
    from quintet.media.csv import CSV as CSV
    from quintet.media.xml import XML as XML
    from quintet.routing.group import Controller as Controller
    from quintet.routing.group import Router as Router
    from quintet.routing.group import delete as delete
    from quintet.routing.group import get as get
    from quintet.routing.group import patch as patch
    from quintet.routing.group import post as post
    from quintet.routing.group import put as put
    from quintet.routing.group import route as route
    from quintet.routing.route import CallNext as CallNext
    from quintet.schema.struct import Bounds as Bounds
    from quintet.schema.struct import Meta as Meta
    from quintet.schema.struct import Struct as Struct

_MODULES = {
    "config": ("Secret", "Settings"),
    "errors": (
        "BadRequest", "ConfigurationError", "Conflict", "FieldError", "Forbidden", "HTTPError", "NotFound",
        "Unauthorized", "ValidationError",
    ),
    "factory": ("App",),
    "handlers.params": ("Body", "Cookie", "Depends", "Form", "Header", "Name", "Patch", "Path", "Query"),
    "handlers.threads": ("ThreadSettings",),
    "handlers.versions": ("Versioning",),
    "hooks": ("Plugin",),
    "http.context": ("current_request",),
    "http.file": ("File",),
    "http.forwarded": ("ProxyPolicy",),
    "http.limits": ("Limits",),
    "http.request": ("Request",),
    "http.response": ("HTML", "EventStream", "Page", "Redirect", "Response", "Stream", "Template"),
    "http.security": ("SecurityHeaders",),
    "http.sse": ("Event",),
    "http.upload": ("Upload",),
    "http.websocket": ("WebSocket", "WebSocketDisconnect", "WebSocketOptions"),
    "media.csv": ("CSV",),
    "media.xml": ("XML",),
    "routing.group": ("Controller", "Router", "delete", "get", "patch", "post", "put", "route"),
    "routing.route": ("CallNext",),
    "schema.struct": ("Bounds", "Meta", "Struct"),
}  # fmt: skip
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]  # noqa: PLE0604 - names only  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module 'quintet' has no attribute {name!r}")
    value = getattr(import_module(f"quintet.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
