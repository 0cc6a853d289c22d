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
    from quintet.db import Mapped as Mapped
    from quintet.db.columns import column as column
    from quintet.db.columns import foreign_key as foreign_key
    from quintet.db.columns import primary_key as primary_key
    from quintet.db.database import Database as Database
    from quintet.db.model import Model as Model
    from quintet.db.plugin import Use as Use
    from quintet.db.queries.decorator import query as query
    from quintet.db.relations import belongs_to as belongs_to
    from quintet.db.relations import has_many as has_many
    from quintet.db.relations import has_one as has_one
    from quintet.db.relations import many_to_many as many_to_many
    from quintet.db.session import Session as Session
    from quintet.db.session import SyncSession as SyncSession
    from quintet.db.shapes import New as New
    from quintet.db.shapes import View as View
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
    from quintet.resources.declare import resource as resource
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
    "db": ("Mapped",),
    "db.columns": ("column", "foreign_key", "primary_key"),
    "db.database": ("Database",),
    "db.model": ("Model",),
    "db.plugin": ("Use",),
    "db.queries.decorator": ("query",),
    "db.relations": ("belongs_to", "has_many", "has_one", "many_to_many"),
    "db.session": ("Session", "SyncSession"),
    "db.shapes": ("New", "View"),
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
    "resources.declare": ("resource",),
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
