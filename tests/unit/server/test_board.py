from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec
import pytest

from quintet.server.board import CUMULATIVE, CURRENT, Board, Row

pytestmark = pytest.mark.skipif(os.name != "posix", reason="workers that share memory are POSIX processes")


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board.create(4)
    yield board
    board.close()


def test_what_one_process_writes_another_reads(board: Board) -> None:
    pid = os.fork()
    if pid == 0:
        Board(os.dup(board.fd), board.rows).write(2, requests=7, connections=3, pid=123, memory=1 << 40)
        os._exit(0)
    os.waitpid(pid, 0)
    row = board.read(2)
    assert (row.pid, row.requests, row.connections, row.memory) == (123, 7, 3, 1 << 40)
    assert board.read(1).requests == 0


def test_every_field_has_its_own_place(board: Board) -> None:
    values = {name: n for n, name in enumerate(msgspec.structs.asdict(Row()), 1)}
    board.write(1, **values)
    assert msgspec.structs.asdict(board.read(1)) == values
    assert {*CUMULATIVE, *CURRENT} < values.keys()


def test_sums_never_shrink_when_a_worker_ends(board: Board) -> None:
    board.write(1, requests=5, connections=2)
    board.write(2, requests=6, connections=1)
    assert (board.total("requests"), board.total("connections")) == (11, 3)
    board.retire(1)
    assert (board.total("requests"), board.total("connections")) == (11, 1)
    assert board.read(1).pid == board.read(1).requests == 0


def test_a_worker_is_ahead_when_one_that_takes_connections_has_fewer(board: Board) -> None:
    board.write(1, accepting=1)
    board.write(2, connections=4, accepting=1)
    board.write(3, connections=0, accepting=0)
    assert not board.is_ahead(1, 4)
    assert board.is_ahead(1, 5)
    board.retire(2)
    assert not board.is_ahead(1, 5)
