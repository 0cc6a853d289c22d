from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest

from quintet.http.response import Response


@pytest.mark.parametrize("status", [200, 404, 599, HTTPStatus.CREATED, None])
def test_a_status_that_can_be_sent(status: int | None) -> None:
    assert Response("x", status).status == status


@pytest.mark.parametrize("status", [0, 100, 101, 199, 600, -1, 200.0, "200", "200 OK\r\nX: 1", b"200"])
def test_a_status_that_cannot_be_sent_is_refused_where_it_is_set(status: Any) -> None:
    with pytest.raises(ValueError, match="200 to 599"):
        Response("x", status)
