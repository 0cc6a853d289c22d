"""nginx and HAProxy as they are documented, in front of real `quintet run` processes.

The configurations are the files of `examples/deploy/`; only addresses, paths and what a test has to see are replaced.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import trustme

from tests.integration.command import wait_until
from tests.integration.hosts import free_port

ROOT = Path(__file__).resolve().parents[2]
APP = Path(__file__).with_name("proxied_app.py")
DEPLOY = ROOT / "examples" / "deploy"
NAMES = ("nginx", "haproxy")
HOST = "example.com"


def find(name: str) -> str | None:
    """Return the path of a program; servers are outside of many a user's PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


class Backend:
    """A `quintet run` process behind a proxy; its access log is JSON."""

    def __init__(self, folder: Path, *, port: int = 0, uds: Path | None = None, **env: str) -> None:
        self.uds = uds
        self._log = folder / f"backend-{time.monotonic_ns()}.log"
        where = ["--uds", str(uds)] if uds is not None else ["--port", str(port)]
        variables = {
            **os.environ,
            "APP_TRUSTED_PROXIES": "127.0.0.1,unix",
            "APP_ALLOWED_HOSTS": f"{HOST},127.0.0.1",
            "PROXIED_FOLDER": str(folder),
            "PYTHONPATH": str(ROOT),
            **env,
        }
        command = [sys.executable, "-m", "quintet", "run", str(APP), *where, "--access-log", "--log-format", "json"]
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=folder, env=variables, stdout=out, stderr=out)
        self.port = 0
        if uds is not None:
            wait_until(uds.exists, self.log)
        else:
            wait_until(lambda: self._found_port() or self.process.poll() is not None, self.log)
            assert self.port, self.log()

    def _found_port(self) -> bool:
        found = re.search(r"http://127\.0\.0\.1:(\d+)", self.log())
        self.port = int(found[1]) if found else 0
        return bool(found)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def requests(self) -> list[dict[str, Any]]:
        """Return what the access log has, refused requests included."""
        records = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [r for r in records if r["logger"] == "quintet.access"]

    @property
    def address(self) -> str:
        return f"unix:{self.uds}" if self.uds is not None else f"127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20, trust_env=False)

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(20) == 0, self.log()[-3000:]


class Proxy:
    """A proxy process with TLS, in front of backends."""

    def __init__(self, name: str, folder: Path, backends: Iterable[str], authority: trustme.CA) -> None:
        self.name = name
        self.port, self.plain_port = free_port(), free_port()
        self._log = folder / f"{name}-{time.monotonic_ns()}.log"
        self._authority = authority
        chain, key = folder / "chain.pem", folder / "key.pem"
        certificate = authority.issue_cert(HOST, "127.0.0.1")
        chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        key.write_bytes(certificate.private_key_pem.bytes())
        (folder / "shop.pem").write_bytes(chain.read_bytes() + key.read_bytes())
        text = getattr(self, f"_configure_{name}")(folder, list(backends))
        config = folder / f"{name}.conf"
        config.write_text(text)
        executable = find(name)
        assert executable is not None
        options = ["-p", str(folder), "-c", str(config)] if name == "nginx" else ["-db", "-f", str(config)]
        with self._log.open("ab") as out:
            self.process = subprocess.Popen([executable, *options], cwd=folder, stdout=out, stderr=out)
        wait_until(lambda: self._listens() or self.process.poll() is not None, self.log)
        assert self.process.poll() is None, self.log()

    def _listens(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        return False

    def _configure_nginx(self, folder: Path, backends: list[str]) -> str:
        site = replaced(
            DEPLOY / "nginx.conf",
            {
                "server 127.0.0.1:8000 max_fails=0;": " ".join(f"server {b} max_fails=0;" for b in backends),
                "listen 80;": f"listen 127.0.0.1:{self.plain_port};",
                "listen 443 ssl http2;": f"listen 127.0.0.1:{self.port} ssl http2;",
                "/etc/ssl/shop/fullchain.pem": str(folder / "chain.pem"),
                "/etc/ssl/shop/privkey.pem": str(folder / "key.pem"),
            },
        )
        (folder / "site.conf").write_text(site)
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;\n" if os.geteuid() == 0 else ""
        return (
            f"{user}daemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log {self._log};\n"
            "events { worker_connections 2000; }\nhttp {\n"
            f"{temporary}log_format seen '$request_method $request_uri -> $upstream_status';\n"
            f"access_log {self._log} seen;\ninclude {folder}/site.conf;\n}}\n"
        )

    def _configure_haproxy(self, folder: Path, backends: list[str]) -> str:
        servers = "\n    ".join(
            f"server shop{n} {b.replace('unix:', 'unix@')} check inter 100ms" for n, b in enumerate(backends)
        )
        return replaced(
            DEPLOY / "haproxy.cfg",
            {
                "server shop1 127.0.0.1:8000 check inter 1s": servers,
                "bind :80\n": f"bind 127.0.0.1:{self.plain_port}\n",
                "bind :443 ": f"bind 127.0.0.1:{self.port} ",
                "/etc/haproxy/shop.pem": str(folder / "shop.pem"),
                "maxconn 4000": "maxconn 400",
                "option httplog": "log-format '%HM %HU -> %ST %b %s %ts'",
            },
        )

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def passed_on(self) -> list[str]:
        """Return the requests that went to a backend, as `METHOD target`."""
        found: list[str] = []
        for line in self.log().splitlines():
            request, arrow, rest = line.partition(" -> ")
            if not arrow:
                continue
            if self.name == "nginx":
                # One status for each attempt; none where nginx has answered by itself.
                found += [request] * len(re.findall(r"\d{3}", rest))
            elif "<NOSRV>" not in rest and " shop " in f" {rest} ":
                found.append(request.replace(f"https://{HOST}", ""))  # HTTP/2 is logged with its authority
        return found

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self._authority.configure_trust(context)
        return context

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def client(self, *, http2: bool = False) -> httpx2.Client:
        return httpx2.Client(**self._options(http2))

    def async_client(self, *, http2: bool = False) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(**self._options(http2))

    def _options(self, http2: bool) -> dict[str, Any]:
        return {
            "base_url": self.url,
            "headers": {"host": HOST},
            "verify": self.context(),
            "http1": not http2,
            "http2": http2,
            "timeout": 20,
            "trust_env": False,
        }

    def connect(self, *protocols: str) -> ssl.SSLSocket:
        """Return a raw connection over TLS."""
        context = self.context()
        context.set_alpn_protocols(list(protocols or ("http/1.1",)))
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(sock, server_hostname=HOST)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def replaced(path: Path, values: dict[str, str]) -> str:
    """Return a documented configuration with other values; each must be there once."""
    text = path.read_text()
    for old, new in values.items():
        assert text.count(old) == 1, f"{path.name} has {old!r} {text.count(old)} times"
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def proxied(name: str, folder: Path, *backends: Backend) -> Iterator[Proxy]:
    """Run a proxy in front of backends that run."""
    proxy = Proxy(name, folder, [b.address for b in backends], trustme.CA())
    try:
        yield proxy
    finally:
        proxy.stop()
