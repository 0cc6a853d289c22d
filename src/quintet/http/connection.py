"""Where a request came in: what all requests of one connection share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from quintet.http.forwarded import Client, ProxyPolicy
from quintet.http.limits import Limits

if TYPE_CHECKING:
    from quintet.http.request import Request


class Connection:
    """The near side of a request: peer, scheme, limits and the protocol that carries it.

    Args:
        protocol: `native`, `rsgi`, `asgi` or `wsgi`.
        peer: the address at the other end; empty on a Unix socket.
        scheme: `http` or `https`, as this server sees it.
        limits: the bounds on requests.
        proxies: whom to believe about the client, or None for nobody.
    """

    __slots__ = ("_direct", "limits", "peer", "protocol", "proxies", "run_sync", "scheme")

    def __init__(
        self,
        protocol: str,
        peer: str,
        scheme: str,
        limits: Limits,
        proxies: ProxyPolicy | None = None,
    ) -> None:
        self.protocol = protocol
        self.peer = peer
        self.scheme = scheme
        self.limits = limits
        self.proxies = proxies
        #: Runs a blocking function in the thread that serves this request, where it has one (WSGI).
        self.run_sync: Callable[..., Awaitable[Any]] | None = None
        self._direct: Client | None = None

    def client_of(self, request: Request) -> Client:
        """Return who sent `request`, through trusted proxies where there are any."""
        if self.proxies is not None:
            return self.proxies.resolve(self.peer, request.headers, scheme=self.scheme)
        if self._direct is None:
            self._direct = Client(host=self.peer, scheme=self.scheme)
        return self._direct

    async def disconnected(self) -> None:
        """Return when the client has gone. A protocol that cannot know waits for ever."""
        import asyncio

        await asyncio.Event().wait()

    def is_disconnected(self) -> bool:
        """Tell whether the client is known to have gone."""
        return False

    def is_stopping(self) -> bool:
        """Tell whether the server is about to end, so that what has no end of its own ends now."""
        return False

    def http_version(self) -> str:
        """Return the version of HTTP of the request being answered."""
        return "1.1"
