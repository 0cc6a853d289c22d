"""The base of settings sections, and the section of the app itself."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, dataclass_transform

import msgspec
from msgspec import Meta

_SECTION = re.compile(r"[a-z][a-z0-9_]*")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class _SettingsMeta(msgspec.StructMeta):
    """Takes the class keyword `section`, and makes fields keyword-only."""

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        section: str | None = None,
        **options: Any,
    ) -> Any:
        if section is not None:
            if _SECTION.fullmatch(section) is None:
                raise TypeError(
                    f"the section {section!r} of {name} is not a name: use lower-case letters, digits and underscores"
                )
            namespace["__section__"] = section
        options.setdefault("kw_only", True)
        return super().__new__(mcls, name, bases, namespace, **options)


class Settings(msgspec.Struct, metaclass=_SettingsMeta, frozen=True, forbid_unknown_fields=True):
    """The base of a settings section: `class MailSettings(Settings, section="mail")`.

    A field `host` is the variable `MAIL_HOST` and the key `host` of `[mail]` in `quintet.toml`; a field of a nested
    struct `tls` is `MAIL_TLS__CERT` and `[mail.tls] cert`.
    """

    #: The name of the section.
    __section__: ClassVar[str] = ""


_Positive: TypeAlias = Annotated[int, Meta(gt=0)]
_Seconds: TypeAlias = Annotated[float, Meta(gt=0)]


class AppSettings(Settings, section="app"):
    """The kernel's own settings. Sizes are bytes, times are seconds."""

    #: The hosts that are answered: `example.com`, `.example.com` with what is below it. Empty: every valid host.
    allowed_hosts: tuple[str, ...] = ()
    #: Addresses and networks of proxies whose headers are believed; `unix` for a Unix socket.
    trusted_proxies: tuple[str, ...] = ()
    #: The number of proxies every request passes, where their addresses are not known.
    proxy_hops: Annotated[int, Meta(ge=1, le=32)] | None = None
    #: The family of headers those proxies write.
    proxy_header: Literal["x-forwarded", "forwarded"] = "x-forwarded"
    #: The site is served over HTTPS for good: sends Strict-Transport-Security.
    https: bool = False
    #: Pages asked for over plain HTTP are redirected to HTTPS, everything else over plain HTTP is refused.
    https_redirect: bool = False
    #: The port of HTTPS that `https_redirect` sends to.
    https_port: Annotated[int, Meta(ge=1, le=65535)] = 443
    #: The longest request body, unless a route says otherwise.
    max_body: Annotated[int, Meta(ge=0)] = 2_621_440
    #: The longest request target.
    max_url: _Positive = 8192
    #: All header fields of a request together.
    max_header_block: _Positive = 65_536
    #: The number of header fields of a request.
    max_headers: _Positive = 100
    #: The number of fields of a query string or form.
    max_fields: _Positive = 1000
    #: The number of files of a form.
    max_files: _Positive = 100
    #: Time to receive a request's head.
    header_timeout: _Seconds = 30.0
    #: Time without a byte of an unfinished body.
    body_timeout: _Seconds = 30.0
    #: The least speed of a body in bytes a second; 0 for any.
    min_body_rate: Annotated[int, Meta(ge=0)] = 500
    #: Time for a handler to begin its answer, unless its route says otherwise; 0 for any.
    handler_timeout: Annotated[float, Meta(ge=0)] = 60.0
    #: Time in which a client must take some of an answer.
    write_timeout: _Seconds = 60.0
    #: Time a connection stays open between requests.
    keep_alive: _Seconds = 20.0
    #: Connections of one worker; further ones are answered 503; 0 for any number.
    max_connections: Annotated[int, Meta(ge=0)] = 16_384
    #: Handlers of one worker that wait for something; further requests are answered 503; 0 for any number.
    max_requests: Annotated[int, Meta(ge=0)] = 2048
    #: The number of threads for `def` handlers.
    threads: _Positive = 32
    #: The number of calls that may wait for a thread; more are answered 503.
    thread_queue: Annotated[int, Meta(ge=0)] = 1000
    #: The time a call waits for a thread before it is answered 503.
    thread_wait: _Seconds = 5.0
    #: Send `X-Request-Id` with every response.
    request_id: bool = True
