"""The writer: what waits, what is dropped, and what is told of it."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quintet.observability.logging import QueuedHandler, configure_logging
from quintet.observability.outputs import DescriptorOutput, FileOutput, StreamOutput
from quintet.observability.writer import ImmediateWriter, LogWriter, reopen_all

posix = pytest.mark.skipif(sys.platform == "win32", reason="pipes and forks")


class Gate:
    """An output in memory that can be shut, or be full."""

    chunk = 4096
    encoding = "utf-8"

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.open = threading.Event()
        self.open.set()
        self.blocked = threading.Event()
        self.room = 10**9

    def write(self, data: bytes) -> None:
        if not self.open.is_set():
            self.blocked.set()
            self.open.wait(10)
        self.written.append(data[: self.room])
        if len(data) > self.room:
            error = OSError(28, "No space left on device")
            error.written, self.room = self.room, 0  # type: ignore[attr-defined]
            raise error
        self.room -= len(data)

    def refresh(self, *, force: bool = False) -> None: ...

    @property
    def text(self) -> str:
        return b"".join(self.written).decode()


def wait_for(condition: Callable[[], bool]) -> None:
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < 10
        time.sleep(0.002)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


def test_lines_are_written_in_order(gate: Gate) -> None:
    writer = LogWriter(gate)
    for n in range(2000):
        writer.put(f"{n}\n")
    assert writer.flush(5)
    assert gate.text == "".join(f"{n}\n" for n in range(2000))
    assert writer.dropped == 0


def test_lines_of_many_threads_are_whole_and_each_thread_keeps_its_order(gate: Gate) -> None:
    writer = LogWriter(gate, capacity=100_000)

    def put(name: int) -> None:
        for n in range(1000):
            writer.put(f"{name} {n}\n")

    threads = [threading.Thread(target=put, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.flush(5)
    found = [tuple(map(int, line.split())) for line in gate.text.splitlines()]
    assert len(found) == 4000
    for name in range(4):
        assert [n for who, n in found if who == name] == list(range(1000))


def test_lines_are_made_in_the_thread_from_what_is_handed_over(gate: Gate) -> None:
    writer = LogWriter(gate)

    def make(item: tuple[object, ...]) -> str:
        return f"{item[1]} in {threading.current_thread().name}\n"

    writer.put((make, 7))
    writer.put((lambda _: 1 / 0,))
    writer.put("next\n")
    assert writer.flush(5)
    assert gate.text.splitlines() == ["7 in quintet-log", "a log line cannot be shown: ZeroDivisionError", "next"]


def test_a_blocked_output_holds_nobody_up_and_what_is_dropped_is_told_once(gate: Gate) -> None:
    writer = LogWriter(gate, capacity=100)
    gate.open.clear()
    writer.put("first\n")
    assert gate.blocked.wait(5)
    begin = time.monotonic()
    for n in range(1000):
        writer.put(f"{n}\n")
    assert time.monotonic() - begin < 1
    assert writer.dropped == 900
    assert len(writer.queue) == 100
    gate.open.set()
    assert writer.flush(5)
    writer.put("after\n")
    assert writer.flush(5)
    expected = ["first", *map(str, range(100)), "900 log lines were dropped: the output did not take them", "after"]
    assert gate.text.splitlines() == expected


def test_access_lines_do_not_crowd_out_records(gate: Gate) -> None:
    writer = LogWriter(gate, capacity=100)
    gate.open.clear()
    writer.put("first\n")
    assert gate.blocked.wait(5)
    for _ in range(200):
        writer.put("access\n")
    for _ in range(40):
        writer.put("error\n", reserve=True)
    assert sum(line == "error\n" for line in writer.queue) == 25
    assert writer.dropped == 115


def test_a_failing_output_is_counted_and_told_when_it_is_back(gate: Gate) -> None:
    writer = LogWriter(gate)
    gate.room = 0
    for n in range(3):
        writer.put(f"{n}\n")
        assert writer.flush(5)
    assert writer.dropped == 3
    gate.room = 10**9
    writer.put("back\n")
    assert writer.flush(5)
    assert gate.text.splitlines() == ["back", "3 log lines were dropped: the output did not take them"]


def test_a_line_of_which_a_part_was_written_does_not_run_into_the_next(gate: Gate) -> None:
    writer = LogWriter(gate)
    gate.room = 8
    writer.put("first\n")
    writer.put("second\n")
    assert writer.flush(5)
    gate.room = 10**9
    writer.put("third\n")
    assert writer.flush(5)
    assert gate.text.splitlines() == [
        "first",
        "se",
        "third",
        "1 log lines were dropped: the output did not take them",
    ]


@posix
def test_a_flush_of_a_blocked_output_ends_in_time() -> None:
    reader, end = os.pipe()
    try:
        writer = LogWriter(DescriptorOutput(end))
        for _ in range(1000):
            writer.put("x" * 999 + "\n")
        begin = time.monotonic()
        assert not writer.finish(0.1)
        writer.put("more\n")
        assert not writer.flush(5)
        assert time.monotonic() - begin < 2
    finally:
        os.close(reader)  # the thread's write fails now, and it goes on
        wait_for(lambda: not writer.queue)
        os.close(end)


@posix
def test_a_pipe_that_does_not_block_loses_nothing() -> None:
    reader, end = os.pipe()
    os.set_blocking(end, False)
    writer = LogWriter(DescriptorOutput(end))
    for n in range(2000):
        writer.put(f"{n:099}\n")
    found = b""
    while len(found) < 200_000:
        found += os.read(reader, 65536)
    assert found.decode() == "".join(f"{n:099}\n" for n in range(2000))
    assert writer.flush(5)
    os.close(end)
    os.close(reader)


@posix
def test_lines_of_several_processes_in_one_pipe_stay_whole() -> None:
    code = """
import sys
from quintet.observability.outputs import DescriptorOutput
from quintet.observability.writer import LogWriter, flush_all
writer = LogWriter(DescriptorOutput(1))
for n in range(3000):
    writer.put(f"{sys.argv[1] * 150} {n}\\n")
assert flush_all(10)
"""
    reader, end = os.pipe()
    processes = [subprocess.Popen([sys.executable, "-c", code, name], stdout=end) for name in "abc"]
    os.close(end)
    with os.fdopen(reader) as pipe:
        lines = pipe.read().splitlines()
    assert [process.wait(20) for process in processes] == [0, 0, 0]
    for name in "abc":
        assert [line for line in lines if line[0] == name] == [f"{name * 150} {n}" for n in range(3000)]
    assert len(lines) == 9000


@posix
def test_a_forked_child_writes_its_own_lines_once() -> None:
    code = """
import os, sys, time
from quintet.observability.outputs import DescriptorOutput
from quintet.observability.writer import LogWriter
writer = LogWriter(DescriptorOutput(1))
writer.put("parent 1\\n")
writer.flush(5)
for _ in range(50):
    writer.put("before\\n")
pid = os.fork()
writer.put("child\\n" if pid == 0 else "parent 2\\n")
if pid:
    os.waitpid(pid, 0)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=20, check=True
    )
    lines = done.stdout.splitlines()
    assert sorted(lines) == sorted(["parent 1", *["before"] * 50, "child", "parent 2"])


@pytest.mark.parametrize("end", ["", "raise ValueError('x')", "raise SystemExit(3)"])
def test_the_end_of_the_process_loses_nothing(end: str) -> None:
    code = f"""
import atexit, logging
from quintet.observability.logging import configure_logging
from quintet.observability.outputs import DescriptorOutput
from quintet.observability.writer import LogWriter
import sys
atexit.register(lambda: logging.error("at the very end"))
configure_logging(json=False, writer=LogWriter(DescriptorOutput(2)))
for n in range(5000):
    logging.error("line %d", n)
{end}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    lines = [line for line in done.stderr.splitlines() if "root:" in line]
    assert [line.partition("root: ")[2] for line in lines] == [*(f"line {n}" for n in range(5000)), "at the very end"]


@posix
def test_the_end_of_the_process_does_not_wait_for_a_blocked_output() -> None:
    code = """
import logging
from quintet.observability.logging import configure_logging
from quintet.observability.outputs import DescriptorOutput
from quintet.observability.writer import LogWriter
configure_logging(json=False, writer=LogWriter(DescriptorOutput(2)))
for n in range(5000):
    logging.error("line %d %s", n, "x" * 100)
"""
    reader, end = os.pipe()
    begin = time.monotonic()
    try:
        assert subprocess.run([sys.executable, "-c", code], stderr=end, timeout=20, check=False).returncode == 0
    finally:
        os.close(end)
        os.close(reader)
    assert time.monotonic() - begin < 8


def test_a_file_that_is_moved_away_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    writer = LogWriter(FileOutput(path))
    writer.put("old\n")
    assert writer.flush(5)
    path.rename(tmp_path / "access.log.1")
    reopen_all()
    wait_for(path.exists)
    writer.put("new\n")
    assert writer.flush(5)
    assert (tmp_path / "access.log.1").read_text() == "old\n"
    assert path.read_text() == "new\n"
    assert path.stat().st_mode & 0o007 == 0


def test_a_moved_file_is_noticed_without_a_signal(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    output = FileOutput(path)
    output.write(b"old\n")
    path.rename(tmp_path / "access.log.1")
    output._looked -= 2
    output.refresh()
    output.write(b"new\n")
    assert path.read_text() == "new\n"


@posix
def test_a_line_may_come_from_a_signal_handler(gate: Gate) -> None:
    writer = LogWriter(gate)
    before = signal.signal(signal.SIGALRM, lambda *_: writer.put("signal\n"))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        for n in range(20_000):
            writer.put(f"{n}\n")
            if n % 1000 == 0:
                assert writer.flush(5)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert writer.flush(5)
    assert [line for line in gate.text.splitlines() if line != "signal"] == [str(n) for n in range(20_000)]


def test_an_immediate_writer_writes_before_it_returns() -> None:
    stream = io.StringIO()
    writer = ImmediateWriter(StreamOutput(stream))
    writer.put("a\n")
    assert stream.getvalue() == "a\n"
    assert writer.flush(0)
    stream.close()
    writer.put("b\n")


@pytest.fixture
def handlers() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before, level


@pytest.mark.usefixtures("handlers")
def test_records_are_made_text_where_they_are_logged(gate: Gate) -> None:
    writer = LogWriter(gate)
    handler = configure_logging(json=True, writer=writer, request_id=lambda: threading.current_thread().name)
    assert isinstance(handler, QueuedHandler)
    basket = ["apple"]
    try:
        raise LookupError("password=hunter2")
    except LookupError:
        logging.getLogger("shop").exception("basket %s", basket, extra={"token": "hunter2"})
    basket.append("pear")
    handler.flush()
    record = json.loads(gate.text)
    assert record["message"] == "basket ['apple']"
    assert record["request_id"] == threading.current_thread().name
    assert "LookupError" in record["details"]
    assert "hunter2" not in gate.text


@pytest.mark.usefixtures("handlers")
def test_the_count_of_dropped_lines_is_a_record_like_others(gate: Gate) -> None:
    writer = LogWriter(gate, capacity=16)
    configure_logging(json=True, writer=writer)
    gate.open.clear()
    logging.getLogger("shop").error("first")
    assert gate.blocked.wait(5)
    for _ in range(100):
        logging.getLogger("shop").error("more")
    gate.open.set()
    assert writer.flush(5)
    last = json.loads(gate.text.splitlines()[-1])
    assert (last["level"], last["logger"], last["dropped"]) == ("warning", "quintet.log", 80)
    assert last["message"] == "80 log lines were dropped: the output did not take them"
