"""Serves a WSGI app on wsgiref behind its validator: `python -m tests.integration.validated module:app port`."""

from __future__ import annotations

import sys
from importlib import import_module
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIServer, make_server
from wsgiref.validate import validator


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


def main() -> None:
    module, _, name = sys.argv[1].partition(":")
    app: Any = getattr(import_module(module), name)
    with make_server("127.0.0.1", int(sys.argv[2]), validator(app), _Server) as server:
        server.serve_forever()


if __name__ == "__main__":
    import signal

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    main()
