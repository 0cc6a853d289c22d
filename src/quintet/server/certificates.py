"""Certificates of the built-in server: loading, choosing by name, and taking new ones while connections go on.

New files count from the next handshake on. Files that are wrong are told in the log, and the ones before them stay.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from quintet.config import Secret, Settings
from quintet.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from quintet.server.tls import TLSConnection

logger = logging.getLogger("quintet.server")

#: Forward secrecy and authenticated encryption only; TLS 1.3 has nothing else.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
#: Seconds before a certificate's end from which on the log says so.
_SOON = 14 * 86400

_VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
#: X509_V_FLAG_NO_CHECK_TIME of OpenSSL: the names of a certificate can be read after its end.
_NO_CHECK_TIME = 0x200000


class TLSSettings(Settings, section="tls"):
    """TLS of the built-in server: `[tls]` in `quintet.toml`, or `TLS_CERTIFICATE`, `TLS_KEY`, … in the environment."""

    #: Files of certificates in PEM format, each with its chain. The first one is for clients that name no host, or one
    #: that no certificate is for.
    certificate: tuple[str, ...] = ()
    #: The file of the private key of each certificate; none where the key is in the certificate's file.
    key: tuple[str, ...] = ()
    #: The password of the keys.
    key_password: Secret | None = None
    #: The file of the authorities that may sign certificates of clients.
    client_ca: str = ""
    #: Whether clients must show a certificate.
    client_certificates: Literal["none", "optional", "required"] = "none"
    #: The lowest version spoken.
    minimum_version: Literal["1.2", "1.3"] = "1.2"
    #: The ciphers of TLS 1.2, in the notation of OpenSSL.
    ciphers: str = CIPHERS
    #: Seconds that a handshake may take.
    handshake_timeout: Annotated[float, Meta(gt=0)] = 10.0
    #: Seconds between two looks at the files.
    reload_interval: Annotated[float, Meta(gt=0)] = 10.0

    @property
    def files(self) -> list[tuple[str, str | None]]:
        """The certificates with their keys."""
        keys: tuple[str | None, ...] = self.key or (None,) * len(self.certificate)
        return list(zip(self.certificate, keys, strict=True))


class Certificates:
    """The certificates of a server, as contexts for new connections.

    Args:
        settings: the files, and how TLS is spoken.

    Raises:
        ConfigurationError: everything that is wrong with them.
    """

    def __init__(self, settings: TLSSettings) -> None:
        self.settings = settings
        self.handshake_timeout = settings.handshake_timeout
        #: Connections whose handshake is under way.
        self.handshakes: set[TLSConnection] = set()
        #: The context of the next connection.
        self.context: ssl.SSLContext
        self._seen = _stamps(settings)
        self._timer: asyncio.TimerHandle | None = None
        self.context = build_context(settings)

    def reload(self) -> bool:
        """Read the files again; tell whether new connections use them. What is wrong with them is logged."""
        self._seen = _stamps(self.settings)
        try:
            self.context = build_context(self.settings)
        except ConfigurationError as exc:
            reasons = "; ".join(f"{p.where}: {p.message}" if p.where else p.message for p in exc.problems)
            logger.error("the new TLS certificates cannot be used, those before them stay: %s", reasons)
            return False
        logger.info("the TLS certificates were read again; new connections use them")
        return True

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at the files now and then, and read them again when they have changed."""
        self._timer = loop.call_later(self.settings.reload_interval, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        if _stamps(self.settings) != self._seen:
            self.reload()
        self.watch(loop)

    def close(self) -> None:
        """Look no more, and cut the handshakes under way."""
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self.handshakes):
            connection.abort()


def _stamps(settings: TLSSettings) -> list[tuple[int, int, int] | None]:
    """Return what changes when a file does; through symbolic links, which is how certbot renews."""
    found: list[tuple[int, int, int] | None] = []
    for path in (*settings.certificate, *settings.key, *filter(None, [settings.client_ca])):
        try:
            status = os.stat(path)
        except OSError:
            found.append(None)
        else:
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return found


def build_context(settings: TLSSettings) -> ssl.SSLContext:
    """Return a context for new connections; it chooses the certificate by the name that a client asks for.

    Raises:
        ConfigurationError: everything that is wrong with the settings and their files.
    """
    problems = _check(settings)
    if problems:
        raise ConfigurationError(problems)
    contexts: list[ssl.SSLContext] = []
    by_name: dict[str, ssl.SSLContext] = {}
    for certificate, key in settings.files:
        try:
            context = _load(settings, certificate, key)
            contexts.append(context)
            parsed = _parse(context, certificate)
        except ConfigurationError as exc:
            problems += exc.problems
            continue
        _warn_of_end(certificate, parsed)
        for name in _names(parsed):
            by_name.setdefault(name, context)
    if problems:
        raise ConfigurationError(problems)
    for context in contexts:
        _verify_clients(context, settings)
    if len(contexts) > 1:
        contexts[0].sni_callback = _chooser(by_name)  # pyright: ignore[reportAttributeAccessIssue]
    return contexts[0]


def _check(settings: TLSSettings) -> list[Problem]:
    problems: list[Problem] = []
    if not settings.certificate:
        problems.append(_problem("there is a key and no certificate", "[tls]", "give --tls-certificate"))
    elif settings.key and len(settings.key) != len(settings.certificate):
        message = f"there are {len(settings.certificate)} certificates and {len(settings.key)} keys"
        problems.append(_problem(message, "[tls]", "give a key for each certificate, in the same order"))
    if settings.client_certificates != "none" and not settings.client_ca:
        problems.append(
            _problem("certificates of clients are asked for and no authority is known", "[tls]", "give client_ca")
        )
    return problems


def _load(settings: TLSSettings, certificate: str, key: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.minimum_version]
    # A client could make the server compute without end by new handshakes inside the connection.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.set_ciphers(settings.ciphers)
    except ssl.SSLError:
        raise ConfigurationError(
            _problem("no cipher has this name", "[tls] ciphers", f"write it as OpenSSL does, such as {CIPHERS}")
        ) from None
    is_encrypted = False

    def password() -> str:  # without it OpenSSL would ask at the terminal
        nonlocal is_encrypted
        is_encrypted = True
        return settings.key_password.reveal() if settings.key_password is not None else ""

    try:
        context.load_cert_chain(certificate, key, password=password)
    except OSError as exc:
        raise ConfigurationError(_why(exc, certificate, key, is_encrypted=is_encrypted)) from None
    return context


def _verify_clients(context: ssl.SSLContext, settings: TLSSettings) -> None:
    if settings.client_certificates == "none":
        return
    try:
        context.load_verify_locations(settings.client_ca)
    except OSError as exc:
        reason = exc.strerror if not isinstance(exc, ssl.SSLError) else "this is no certificate in PEM format"
        raise ConfigurationError(_problem(str(reason), settings.client_ca, "name a file of certificates")) from None
    context.verify_mode = _VERIFY[settings.client_certificates]


def _why(exc: OSError, certificate: str, key: str | None, *, is_encrypted: bool) -> Problem:
    """Return what is wrong with a certificate or its key."""
    where = certificate if key is None else f"{certificate}, {key}"
    if not isinstance(exc, ssl.SSLError):
        missing = next((p for p in (certificate, key) if p is not None and not os.access(p, os.R_OK)), certificate)
        fix = f"name a file that this user ({_user()}) can read"
        return _problem(f"the file cannot be read: {exc.strerror or exc}", missing, fix)
    if exc.reason == "KEY_VALUES_MISMATCH":
        return _problem("the key does not belong to the certificate", where, "name the key that it was made with")
    if is_encrypted:
        return _problem("the password of the key is missing or wrong", where, "set TLS_KEY_PASSWORD")
    return _problem(
        "these are no certificate and key in PEM format",
        where,
        "begin the files with -----BEGIN CERTIFICATE----- and -----BEGIN PRIVATE KEY-----; "
        "the certificate stands before its chain",
    )


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _problem(message: str, where: str, fix: str) -> Problem:
    return Problem(id="server.tls", message=message, where=where, fix=fix)


# -- what is in a certificate -----------------------------------------------------------------------------------------


def _parse(context: ssl.SSLContext, certificate: str) -> dict[str, Any]:
    """Return the fields of a context's own certificate; empty where they cannot be found out.

    The standard library reads the certificate of a peer alone. So a client that trusts this one shakes hands with it in
    memory, which also proves that certificate and key work.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        client.load_verify_locations(certificate)
        near = client.wrap_bio(to_client, to_server)
        far = context.wrap_bio(to_server, to_client, server_side=True)
        for _ in range(4):
            for side in (near, far):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    pass
        return near.getpeercert() or {}
    except (ssl.SSLError, ValueError):
        return {}


def _names(parsed: Mapping[str, Any]) -> list[str]:
    return [str(value).lower() for kind, value in parsed.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]


def _warn_of_end(certificate: str, parsed: Mapping[str, Any]) -> None:
    end = parsed.get("notAfter")
    if not end:
        return
    left = ssl.cert_time_to_seconds(end) - time.time()
    if left < 0:
        logger.warning("the certificate %s ended on %s: browsers refuse it", certificate, end)
    elif left < _SOON:
        logger.warning("the certificate %s ends on %s", certificate, end)


def _chooser(by_name: Mapping[str, ssl.SSLContext]) -> Any:
    """Return the function that puts the context of a name into a connection (RFC 6066, section 3)."""

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name is None:
            return
        name = name.lower().rstrip(".")
        found = by_name.get(name) or by_name.get("*." + name.partition(".")[2])
        if found is not None:
            connection.context = found

    return choose
