"""Type aliases shared by every layer.

A leaf: nothing of the package is imported here, not even for type checking.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

#: Header fields as they are on the wire: lower-case name and value, both Latin-1 bytes.
RawHeaders: TypeAlias = "list[tuple[bytes, bytes]]"

#: An ASGI connection scope.
Scope: TypeAlias = "MutableMapping[str, Any]"
#: An ASGI event.
Message: TypeAlias = "MutableMapping[str, Any]"
#: The ASGI callable that awaits the next event.
Receive: TypeAlias = "Callable[[], Awaitable[Message]]"
#: The ASGI callable that sends one event.
Send: TypeAlias = "Callable[[Message], Awaitable[None]]"
#: An ASGI 3 application.
ASGIApp: TypeAlias = "Callable[[Scope, Receive, Send], Awaitable[None]]"
#: A WSGI environment.
Environ: TypeAlias = "dict[str, Any]"
