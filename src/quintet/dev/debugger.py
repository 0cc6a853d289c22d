"""The debugger of `quintet dev`: a page for an exception, and a console in each of its frames.

Who may use the console: a browser on this machine (the Host header must name it), with the token of a page that
this process made, a cookie that the PIN from the terminal gave, and a request from the same origin.
Nothing that serves production imports this module.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import html
import os
import secrets
import sys
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Iterable, Mapping, MutableMapping
from http.cookies import CookieError, SimpleCookie
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from urllib.parse import urlsplit

import msgspec

from quintet._utils import escape_control
from quintet.dev.frames import FIRST_FRAMES, Frame, Trace, read_exception
from quintet.dev.page import render_page

if TYPE_CHECKING:
    from werkzeug.debug.console import Console

#: Every path of the debugger begins with this.
PREFIX = "/__debugger__/"
#: The environment variable by which each process of the reloader gets the same PIN and key.
CREDENTIALS_VARIABLE = "QUINTET_DEV_DEBUGGER_SECRET"
#: Wrong PINs until the console is locked for good.
MAX_TRIES = 10

_KEPT_EXCEPTIONS = 10
_MAX_BODY = 64 * 1024
_MAX_OUTPUT = 200_000
_COOKIE = "quintet-debugger"
_ASSETS = {
    "debugger.css": "text/css; charset=utf-8",
    "debugger.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_COMMON = [
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
]

#: A status, headers and a body.
Answer: TypeAlias = "tuple[int, list[tuple[str, str]], bytes]"


class _PinInput(msgspec.Struct):
    pin: str


class _EvalInput(msgspec.Struct):
    frame: str
    code: str


def is_local_host(host: str) -> bool:
    """Tell whether a Host header names this machine: localhost, 127.0.0.1 or [::1], with any port."""
    name, separator, port = host.rpartition(":")
    if not separator or host.endswith("]"):
        name = host
    elif not (port.isascii() and port.isdigit() and len(port) <= 5):
        return False
    return name.lower() in {"localhost", "127.0.0.1", "[::1]"}


def new_pin() -> str:
    """Return a PIN of nine digits."""
    digits = f"{secrets.randbelow(10**9):09}"
    return f"{digits[:3]}-{digits[3:6]}-{digits[6:]}"


def new_credentials() -> str:
    """Return a PIN and a key for `CREDENTIALS_VARIABLE`; the PIN is the part before the colon."""
    return f"{new_pin()}:{secrets.token_hex(32)}"


class Debugger:
    """Shows exceptions and evaluates code in their frames.

    `pin` and `key` are random unless given; the reloader gives the same ones to each process it starts, so that
    an unlocked browser stays unlocked. `loop` is where `await` in a console runs; `respond` sets it.
    """

    def __init__(self, *, pin: str | None = None, key: str | None = None, announce: bool = True) -> None:
        #: What the console asks for.
        self.pin: str = pin or new_pin()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._cookie: str = hashlib.sha256(f"{key or secrets.token_hex(32)}|{self.pin}".encode()).hexdigest()
        self._token: str = secrets.token_urlsafe(32)
        self._failures = 0
        self._lock = threading.Lock()
        self._frames: OrderedDict[str, list[Frame]] = OrderedDict()
        self._consoles: dict[str, Console] = {}
        if announce:
            sys.stderr.write(f"Debugger PIN: {self.pin}\n")

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str] | None = None) -> Debugger:
        """Take the credentials that the reloader's parent made out of the environment; new ones when there are none."""
        text = (os.environ if environ is None else environ).pop(CREDENTIALS_VARIABLE, "")
        pin, _, key = text.partition(":")
        return cls(pin=pin or None, key=key or None, announce=not pin)

    # What an exception looks like.

    def page(self, exc: BaseException, *, request_info: Mapping[str, Any] | None = None) -> Answer:
        """Return the page of an exception.

        `request_info` is shown as it is, with secrets masked; `method`, `path` and `headers` (a mapping or pairs) are
        what it should have. Without a local Host header in it the page has no console.
        """
        info = request_info or {}
        headers = _lower(info.get("headers") or ())
        interactive = is_local_host(headers.get("host", ""))
        trace = read_exception(exc)
        if interactive:
            self._keep(trace)
        text = render_page(
            trace,
            plain=_plain_text(trace),
            request=info,
            base=PREFIX,
            token=self._token if interactive else None,
        )
        return 500, [("content-type", "text/html; charset=utf-8"), *_security_headers()], text.encode()

    def text(self, exc: BaseException) -> str:
        """Return the traceback as text, with secrets masked."""
        return _plain_text(read_exception(exc))

    def json(self, exc: BaseException) -> dict[str, Any]:
        """Return a problem document (RFC 9457) that tells the exception."""
        trace = read_exception(exc)
        return {
            "type": "about:blank",
            "title": "Internal Server Error",
            "status": 500,
            "detail": f"{trace.type}: {trace.message}" if trace.message else trace.type,
            "exceptions": [_describe(one) for one in trace.chain()],
        }

    # What the page asks for.

    def handle(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] | Iterable[tuple[str, str]],
        body: bytes = b"",
    ) -> Answer | None:
        """Answer a request for the debugger's own paths; None for any other path.

        Code typed into a console runs here, so call it outside of the event loop, as `respond` does.
        """
        if not path.startswith(PREFIX):
            return None
        names = _lower(headers)
        if not is_local_host(names.get("host", "")):
            return _error(403, "The debugger answers on localhost only.")
        wanted = path.removeprefix(PREFIX)
        if wanted.startswith("assets/"):
            return _asset(method, wanted.removeprefix("assets/"))
        action = {"pin": self._check_pin, "eval": self._evaluate}.get(wanted)
        if action is None:
            return _error(404, "The debugger has no such page.")
        return self._refuse(method, names, body) or action(names, body)

    async def respond(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] | Iterable[tuple[str, str]],
        body: bytes = b"",
    ) -> Answer | None:
        """Answer as `handle` does, in a thread, so that code in a console cannot stall the loop and may await on it."""
        if not path.startswith(PREFIX):
            return None
        self.loop = asyncio.get_running_loop()
        return await asyncio.to_thread(self.handle, method, path, query, headers, body)

    def _refuse(self, method: str, headers: dict[str, str], body: bytes) -> Answer | None:
        if method != "POST":
            return _error(405, "Use POST.", [("allow", "POST")])
        if len(body) > _MAX_BODY:
            return _error(413, "The input is too long.")
        # A custom header cannot come from another origin without a preflight, which is never granted here.
        if not hmac.compare_digest(headers.get("x-debugger-token", "").encode(), self._token.encode()):
            return _error(403, "This page is from an earlier process. Reload it.")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            return _error(403, "The request comes from another site.")
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return _error(403, "The request comes from another site.")
        return None

    def _check_pin(self, headers: dict[str, str], body: bytes) -> Answer:
        try:
            pin = msgspec.json.decode(body, type=_PinInput).pin
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _error(400, "A JSON object with the PIN is expected.")
        with self._lock:
            if self._failures >= MAX_TRIES:
                return _error(403, "Too many wrong PINs. Restart `quintet dev`.", unlocked=False)
            if not hmac.compare_digest(_digits(pin), _digits(self.pin)):
                self._failures += 1
                left = MAX_TRIES - self._failures
                return _error(401, f"The PIN is wrong; {left} {'try' if left == 1 else 'tries'} left.", unlocked=False)
            self._failures = 0
        cookie = f"{_COOKIE}={self._cookie}; Path={PREFIX[:-1]}; HttpOnly; SameSite=Strict"
        return _json(200, {"unlocked": True}, [("set-cookie", cookie)])

    def _is_unlocked(self, headers: dict[str, str]) -> bool:
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(_COOKIE)
        except CookieError:
            return False
        return morsel is not None and hmac.compare_digest(morsel.value.encode(), self._cookie.encode())

    def _evaluate(self, headers: dict[str, str], body: bytes) -> Answer:
        if self._failures >= MAX_TRIES or not self._is_unlocked(headers):
            return _error(401, "Unlock the console with the PIN first.")
        try:
            wanted = msgspec.json.decode(body, type=_EvalInput)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _error(400, "A JSON object with a frame and code is expected.")
        console = self._console(wanted.frame)
        if console is None:
            return _error(410, "This exception is too old. Reload the page.")
        output = console.eval(_rewrite_await(wanted.code))
        interpreter = getattr(console, "_ipy", None)
        if len(output) > _MAX_OUTPUT:
            # Cut anywhere it would be broken markup, so it is shown as text.
            output = f"{html.escape(output[:_MAX_OUTPUT])} …"
        return _json(200, {"html": output, "more": bool(getattr(interpreter, "more", False))})

    def _keep(self, trace: Trace) -> None:
        frames = list(trace.walk())
        if not frames:
            return
        with self._lock:
            self._frames[frames[0].id] = frames
            while len(self._frames) > _KEPT_EXCEPTIONS:
                for frame in self._frames.popitem(last=False)[1]:
                    self._consoles.pop(frame.id, None)

    def _console(self, wanted: str) -> Console | None:
        with self._lock:
            if wanted in self._consoles:
                return self._consoles[wanted]
            frame = next((f for frames in self._frames.values() for f in frames if f.id == wanted), None)
            if frame is None:
                return None
            from werkzeug.debug.console import Console

            console = Console(dict(frame.globals), {**frame.locals, "run": self._run})
            _accept_source(console)
            self._consoles[wanted] = console
            return console

    def _run(self, awaitable: Awaitable[Any]) -> Any:
        """Await something on the app's event loop; what `await x` in a console becomes."""

        async def wait() -> Any:
            return await awaitable

        if self.loop is None or not self.loop.is_running():
            return asyncio.run(wait())
        if self.loop is _running_loop():
            if asyncio.iscoroutine(awaitable):
                awaitable.close()
            raise RuntimeError("nothing can be awaited here: the console runs on the event loop itself")
        return asyncio.run_coroutine_threadsafe(wait(), self.loop).result()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _rewrite_await(code: str) -> str:
    """Turn `await x` and `name = await x`, which one types in a handler's frame, into calls of `run`."""
    target, separator, rest = code.partition("await ")
    assigned = target.strip().removesuffix("=").strip()
    if not separator or (assigned and not (assigned.isidentifier() and target.strip().endswith("="))):
        return code
    return f"{target}run({rest.strip()})"


def _digits(pin: str) -> bytes:
    return pin.strip().replace("-", "").replace(" ", "").encode()


def _lower(headers: object) -> dict[str, str]:
    pairs = cast("Iterable[tuple[object, object]]", headers.items() if isinstance(headers, Mapping) else headers)
    found: dict[str, str] = {}
    for name, value in pairs:
        key = _string(name).lower()
        # Two Host headers name no host; two cookie headers are one.
        found[key] = (
            f"{found[key]}{'; ' if key == 'cookie' else ','}{_string(value)}" if key in found else _string(value)
        )
    return found


def _string(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _security_headers() -> list[tuple[str, str]]:
    return [("content-security-policy", _CSP), *_COMMON]


def _asset(method: str, name: str) -> Answer:
    if method not in {"GET", "HEAD"}:
        return _error(405, "Use GET.", [("allow", "GET, HEAD")])
    if name not in _ASSETS:
        return _error(404, "The debugger has no such file.")
    data = files("quintet.dev").joinpath("assets", name).read_bytes()
    return 200, [("content-type", _ASSETS[name]), *_COMMON], b"" if method == "HEAD" else data


def _json(status: int, data: object, headers: Iterable[tuple[str, str]] = ()) -> Answer:
    return status, [("content-type", "application/json"), *_COMMON, *headers], msgspec.json.encode(data)


def _error(status: int, message: str, headers: Iterable[tuple[str, str]] = (), **extra: object) -> Answer:
    return _json(status, {"error": message, **extra}, headers)


def _plain_text(trace: Trace, indent: str = "") -> str:
    out: list[str] = []
    for one in trace.chain():
        if one.relation == "cause":
            out.append("\nThe above exception was the direct cause of the following exception:\n")
        elif one.relation == "context":
            out.append("\nDuring handling of the above exception, another exception occurred:\n")
        out.append("Traceback (most recent call last):")
        for number, frame in enumerate(one.frames):
            if one.left_out and number == FIRST_FRAMES:
                out.append(f"  [{one.left_out} more frames]")
            out.append(f'  File "{frame.file}", line {frame.line}, in {frame.function}')
            if frame.source:
                out.append(f"    {frame.source}")
        out.append(f"{one.type}: {one.message}" if one.message else one.type)
        out.extend(one.notes)
        for number, child in enumerate(one.children, 1):
            out.append(f"  +---------------- {number} ----------------")
            out.append(_plain_text(child, "  | ").rstrip("\n"))
    return "".join(f"{indent}{escape_control(line)}\n" for text in out for line in text.split("\n"))


def _describe(trace: Trace) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": trace.type,
        "message": trace.message,
        "frames": [
            {"file": f.file, "line": f.line, "function": f.function, "kind": f.kind, "source": f.source}
            for f in trace.frames
        ],
    }
    if trace.relation:
        found["relation"] = trace.relation
    if trace.notes:
        found["notes"] = trace.notes
    if trace.children:
        found["exceptions"] = [[_describe(one) for one in child.chain()] for child in trace.children]
    return found


def _accept_source(console: Console) -> None:
    """Let werkzeug's console show syntax errors on Python 3.13, whose `code` module passes it the source as well."""
    interpreter: Any = getattr(console, "_ipy", None)
    if interpreter is None:
        return
    show = interpreter.showsyntaxerror

    def show_syntax_error(filename: str | None = None, **_: object) -> None:
        show(filename)

    interpreter.showsyntaxerror = show_syntax_error
