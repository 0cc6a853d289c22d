"""What every test may use."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import pytest
from hypothesis import settings

# Machines are noisy: no test fails for being slow.
settings.register_profile("quintet", deadline=None)
settings.load_profile("quintet")

#: Where each service is looked for; `QUINTET_TEST_POSTGRES=host:port` names another place.
SERVICES = {
    "postgres": "127.0.0.1:5432",
    "mysql": "127.0.0.1:3306",
    "redis": "127.0.0.1:6379",
    "rabbitmq": "127.0.0.1:5672",
}


@pytest.fixture(scope="session")
def require_service() -> Callable[[str], tuple[str, int]]:
    """Return a function that gives a service's host and port, and skips the test where it cannot be reached.

    With `CI=true` the test fails instead: nothing may go untested there unnoticed.
    """

    def require(name: str) -> tuple[str, int]:
        host, _, port = os.environ.get(f"QUINTET_TEST_{name.upper()}", SERVICES[name]).rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=2).close()
        except OSError as error:
            missing = f"{name} cannot be reached at {host}:{port} ({error})"
            if os.environ.get("CI") == "true":
                pytest.fail(missing)
            pytest.skip(missing)
        return host, int(port)

    return require
