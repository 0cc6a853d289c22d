"""WSGI apps on the built-in server (PEP 3333): called in threads, read and written on the loop.

A short body is read before a thread is taken, so that a slow client does not hold one. A thread and the loop meet once
for a usual answer: pieces that are made while the loop is busy go out together.
"""

from __future__ import annotations

import asyncio
import io
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from quintet.errors import ClientDisconnected
from quintet.protocols.foreign_wsgi import WsgiInput
from quintet.protocols.native_body import BODY_BUFFER
from quintet.server.hosted_answer import Answer

if TYPE_CHECKING:
    from quintet.server.hosted import HostedBody, HostedProtocol, HostedRequest
    from quintet.types import Environ

logger = logging.getLogger("quintet.server")

#: Bytes of an answer that wait for the client before the app's thread waits too.
WINDOW = 256 * 1024
#: The least that a file is read by.
_BLOCK = 64 * 1024


class WsgiThreads:
    """The threads in which a WSGI app is called.

    They are started when they are needed, and end with the process: a call that hangs does not keep it alive.

    Args:
        size: the number of threads at most.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._jobs: SimpleQueue[WsgiExchange | None] = SimpleQueue()
        self._submitted = 0
        #: How many calls each thread has finished. A thread counts for itself: nothing needs a lock.
        self._finished: list[list[int]] = []
        self._ready: deque[WsgiExchange] = deque()
        self._is_told = False
        self._loop: asyncio.AbstractEventLoop

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say which loop reads and writes."""
        self._loop = loop

    @property
    def pending(self) -> int:
        """Calls that run or wait for a thread."""
        return self._submitted - sum(count[0] for count in self._finished)

    def submit(self, exchange: WsgiExchange) -> None:
        """Call the app in a thread; on the loop."""
        self._submitted += 1
        count = len(self._finished)
        if count < self.size and self.pending > count:
            finished = [0]
            self._finished.append(finished)
            threading.Thread(target=self._work, args=(finished,), name=f"quintet-wsgi-{count}", daemon=True).start()
        self._jobs.put(exchange)

    def _work(self, finished: list[int]) -> None:
        get = self._jobs.get
        while (exchange := get()) is not None:
            exchange.run()
            finished[0] += 1
            del exchange

    def tell(self, exchange: WsgiExchange) -> None:
        """Let the loop look at an exchange; in a thread."""
        self._ready.append(exchange)
        if not self._is_told:
            self._is_told = True
            try:
                self._loop.call_soon_threadsafe(self._look)
            except RuntimeError:
                pass  # the loop has ended, and nobody waits

    def _look(self) -> None:
        self._is_told = False  # before the queue is read: what comes later tells again
        ready = self._ready
        while ready:
            ready.popleft().deliver()

    def close(self) -> None:
        """End the threads that wait for work."""
        for _ in self._finished:
            self._jobs.put(None)


class WsgiExchange:
    """One request to a WSGI app. `run` and what it calls are in a thread, all else on the loop."""

    __slots__ = (
        "_answer", "_error", "_head", "_is_final", "_is_gone", "_is_over", "_is_told", "_made", "_out", "_protocol",
        "_request", "_room", "_threads", "_written", "body",
    )  # fmt: skip

    def __init__(self, protocol: HostedProtocol, request: HostedRequest) -> None:
        self._protocol = protocol
        self._request = request
        self._answer = Answer(protocol, request)
        threads = protocol.hosted.threads
        assert threads is not None
        self._threads = threads
        #: The body, where it is read by the app's thread as it arrives.
        self.body: HostedBody | None = None
        #: What `start_response` was given.
        self._head: tuple[str, list[tuple[str, str]]] | None = None
        #: Pieces on their way to the loop.
        self._out: deque[bytes] = deque()
        #: The last piece is among them.
        self._is_final = False
        self._error: BaseException | None = None
        #: The loop will look at this exchange.
        self._is_told = False
        #: The answer is complete or given up; known to the loop.
        self._is_over = False
        #: Nobody wants more of the answer; said to the thread.
        self._is_gone = False
        #: Bytes that the thread has made, and that the client has taken over.
        self._made = self._written = 0
        self._room: threading.Event | None = None

    # -- on the loop ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Call the app in a thread, once a short body has arrived."""
        protocol, request = self._protocol, self._request
        body = protocol.stream
        if request._body is None and body is not None and not body.is_full:  # pyright: ignore[reportPrivateUsage]
            length = request.fields.get(b"content-length")
            if length is None or int(length) <= BODY_BUFFER:
                protocol.driver.start(self._collect(body), protocol.server.context.copy(), self._collected)
                return
        self.body = body if request._body is None else None  # pyright: ignore[reportPrivateUsage]
        self._threads.submit(self)

    async def _collect(self, body: HostedBody) -> None:
        chunks: list[bytes] = []
        size = 0
        while size <= BODY_BUFFER and (chunk := await body.take()):
            chunks.append(chunk)
            size += len(chunk)
        whole = b"".join(chunks)
        if size <= BODY_BUFFER:
            self._request._body = whole  # pyright: ignore[reportPrivateUsage]
        else:
            body.give_back(whole)
            self.body = body
        self._threads.submit(self)

    def _collected(self, result: Any, error: BaseException | None) -> None:
        del result
        if error is not None and not self._is_over:
            self._is_over = True
            self._protocol.failed(self._request, error, is_sent=False)

    def client_left(self) -> None:
        """The client has gone: the thread hears of it with its next piece."""
        self._is_over = self._is_gone = True
        if self._room is not None:
            self._room.set()

    def client_stopped(self) -> None:
        """The client sends nothing more: what it has asked for is answered."""

    def give_up(self) -> bool:
        """Write nothing more, as if the client had gone."""
        self._is_over = self._is_gone = True
        if self._room is not None:
            self._room.set()
        return self._answer.is_sent

    def deliver(self) -> None:
        """Write what the thread has made."""
        self._is_told = False  # before the queue is read: what comes later tells again
        final, error, out = self._is_final, self._error, self._out
        content = out.popleft() if len(out) == 1 else b"".join([out.popleft() for _ in range(len(out))])
        if self._is_over:
            return
        protocol, answer = self._protocol, self._answer
        try:
            if not answer.status:
                if self._head is None:
                    raise error or RuntimeError("the app ended without calling start_response")
                if error is None or content:
                    self._begin(*self._head)
            if error is not None:
                raise error
            answer.write(content, not final)
        except BaseException as exc:  # noqa: BLE001 - the app's; logged
            self.give_up()
            protocol.failed(self._request, exc, is_sent=answer.is_sent)
            return
        if final:
            self._is_over = True
            protocol.completed(self._request, answer.status, answer.size)
        elif protocol.is_paused:
            protocol.driver.start(self._wait(len(content)), protocol.server.context.copy(), _ignore)
        else:
            self._make_room(len(content))

    def _begin(self, status: str, headers: list[tuple[str, str]]) -> None:
        code = int(status[:3])
        line = b"HTTP/1.1 %b\r\n" % status.encode("latin-1")
        self._answer.begin(code, [(n.encode("latin-1"), v.encode("latin-1")) for n, v in headers], line)

    async def _wait(self, size: int) -> None:
        await self._protocol.wait_writable()
        self._make_room(size)

    def _make_room(self, size: int) -> None:
        self._written += size
        if self._room is not None:
            self._room.set()

    # -- in a thread ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Call the app and pass its answer on; never raises."""
        protocol = self._protocol
        try:
            protocol.server.context.copy().run(self._call)
        except ClientDisconnected:
            pass
        except BaseException as exc:
            if self._is_final or self._is_gone:
                logger.error("the app failed after its answer", exc_info=exc)
            else:
                self._error = exc
                self._tell()

    def _call(self) -> None:
        if self._is_gone:
            return  # its client left while it waited for a thread
        protocol = self._protocol
        environ = build_environ(protocol, self._request, self)
        result: Iterable[bytes] = protocol.hosted.app(environ, self._start_response)
        try:
            if result.__class__ is list and not self._made:
                self._send_whole(result)  # pyright: ignore[reportArgumentType] - just looked
                return
            left = self._promised()
            pieces: Iterator[bytes] = iter(result)
            for piece in pieces:
                if piece.__class__ is not bytes:
                    raise TypeError(f"a WSGI app yields bytes, not {type(piece).__name__}")
                if left is None:
                    left = self._promised()  # a generator calls start_response with its first piece
                if left is not None and len(piece) >= left >= 0 and self._request.method != "HEAD":
                    # All that was promised is here: the client need not wait for the app to tidy up.
                    self._end(piece[:left])
                    left = -1
                elif piece and not self._is_final:
                    self._put(piece)
                    if left is not None:
                        left -= len(piece)
            if not self._is_final:
                self._end(b"")
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    def _send_whole(self, pieces: list[bytes]) -> None:
        """Send an answer that is there as a whole, which gives it a length."""
        whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if whole.__class__ is not bytes:
            raise TypeError(f"a WSGI app returns bytes, not {type(whole).__name__}")
        left = self._promised()
        self._end(whole if left is None else whole[:left])

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], None]:
        if exc_info is not None:
            try:
                if self._made:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # it would hold a frame that holds it
        elif self._head is not None:
            raise RuntimeError("start_response was called before; a second call needs exc_info")
        if not isinstance(status, str) or not status[:3].isdecimal() or status[3:4] not in ("", " "):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise RuntimeError(f"the status must be text such as '200 OK', not {status!r}")
        self._head = (status, headers)
        return self._write

    def _write(self, data: bytes) -> None:
        """Send a piece: the callable that `start_response` returns."""
        if data:
            self._put(bytes(data))

    def _promised(self) -> int | None:
        """Return the Content-Length, less what is made; None where there is none."""
        if self._head is not None:
            for name, value in self._head[1]:
                if name.lower() == "content-length" and value.isdecimal():
                    return max(int(value) - self._made, 0)
        return None

    def _put(self, piece: bytes) -> None:
        """Pass a piece on; wait where the client reads slowly.

        Raises:
            ClientDisconnected: nobody reads it.
        """
        if self._is_gone:
            raise ClientDisconnected("the client went away")
        if self._head is None:
            raise RuntimeError("the app has not called start_response before its first piece")
        self._made += len(piece)
        self._out.append(piece)
        self._tell()
        while self._made - self._written > WINDOW:
            if self._room is None:
                self._room = threading.Event()
            self._room.clear()
            if self._is_gone or self._made - self._written <= WINDOW:  # it has changed since
                break
            self._room.wait()

    def _end(self, piece: bytes) -> None:
        if piece:
            self._made += len(piece)
            self._out.append(piece)
        self._is_final = True  # behind the last piece: who sees this sees them all
        self._tell()

    def _tell(self) -> None:
        if not self._is_told:
            self._is_told = True
            self._threads.tell(self)


class FileWrapper:
    """What `wsgi.file_wrapper` makes: a file as an iterable of blocks."""

    def __init__(self, file: Any, block_size: int = 8192) -> None:
        self._file = file
        self._size = max(block_size, _BLOCK)

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self._file.read(self._size), b"")

    def close(self) -> None:
        """Close the file."""
        close = getattr(self._file, "close", None)
        if close is not None:
            close()


#: The variables of header fields by their names on the wire; None for those that are left out.
_variables: dict[bytes, str | None] = {
    b"content-type": "CONTENT_TYPE",
    b"content-length": "CONTENT_LENGTH",
    b"proxy": None,  # it would pass for the variable HTTP_PROXY
    b"transfer-encoding": None,  # the body is handed over without it
}


def _variable(name: bytes) -> str | None:
    """Return the variable of a header field, and remember it. An underscore could pass for a hyphen."""
    variable = None if b"_" in name else "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
    if len(_variables) < 1024:
        _variables[name] = variable
    return variable


def build_environ(protocol: HostedProtocol, request: HostedRequest, exchange: WsgiExchange) -> Environ:
    """Return the environment of a request."""
    scheme, client = request.connection.scheme, protocol.client
    if protocol.hosted.has_proxies:
        scheme, client = protocol.far_end(request)
    local = protocol.local
    if local is not None and local[1] is not None:
        name, port = local[0], str(local[1])
    else:
        name, port = "localhost", "443" if scheme == "https" else "80"
    body = request._body  # pyright: ignore[reportPrivateUsage]
    query = request.raw_query.decode("latin-1")
    path = request.raw_path.decode("latin-1")
    environ: Environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": protocol.hosted.script_name,
        "PATH_INFO": path if "%" not in path else _unquoted(request.raw_path),
        "QUERY_STRING": query,
        "REQUEST_URI": f"{path}?{query}" if query else path,
        "SERVER_NAME": name,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.0" if protocol.version_1_0 else "HTTP/1.1",
        "SERVER_SOFTWARE": "quintet",
        "REMOTE_ADDR": "" if client is None else client[0],
        "REMOTE_PORT": "" if client is None else str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": io.BytesIO(body)
        if body is not None
        else io.BufferedReader(WsgiInput(_stream(exchange).take, protocol.server.loop), _BLOCK),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw, value in request.raw_headers:
        try:
            variable = _variables[raw]
        except KeyError:
            variable = _variable(raw)
        if variable is not None:
            text = value.decode("latin-1")
            if variable in environ:
                text = f"{environ[variable]}{'; ' if variable == 'HTTP_COOKIE' else ','}{text}"
            environ[variable] = text
    if body and "CONTENT_LENGTH" not in environ:
        environ["CONTENT_LENGTH"] = str(len(body))
    return environ


def _stream(exchange: WsgiExchange) -> HostedBody:
    assert exchange.body is not None
    return exchange.body


def _unquoted(path: bytes) -> str:
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(path).decode("latin-1")


def _ignore(result: Any, error: BaseException | None) -> None:
    del result, error
