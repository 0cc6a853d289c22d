"""The supervisor and its workers: rows R8 to R12, R25, R28 and R30 of the faults, with real processes."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.integration.command import PATIENCE, run_to_end, wait_until
from tests.integration.processes import APP, Load, Supervised, has_ended, is_port_free, lines_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no supervised workers on Windows")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def write_version(folder: Path, version: str) -> None:
    """Change the code. The size changes too, because compiled modules are known by their second and size."""
    (folder / "app.py").write_text(APP.replace('VERSION = "one"', f'VERSION = "{version}"'))


# -- workers ----------


def test_several_workers_serve_one_port(folder: Path) -> None:
    with Supervised("--workers", "2", folder=folder) as server, ThreadPoolExecutor(8) as pool:
        assert len(server.workers()) == 2
        pids = set(pool.map(lambda _: server.ask("/slow?seconds=0.2")["pid"], range(8)))
        assert pids == {worker.pid for worker in server.workers()}


def test_connections_are_spread_evenly(folder: Path) -> None:
    with Supervised("--workers", "2", folder=folder) as server:
        for count in (2, 20):
            sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(count)]
            wait_until(lambda count=count: server.status()["totals"]["connections"] == count)
            open_now = [worker["connections"] for worker in server.status()["workers"]]
            assert max(open_now) - min(open_now) <= 2
            for sock in sockets:
                sock.close()
            wait_until(lambda: server.status()["totals"]["connections"] == 0)


def test_the_connections_of_all_workers_together_are_bounded(folder: Path) -> None:
    with Supervised("--workers", "2", folder=folder, env={"SERVER_MAX_CONNECTIONS": "4"}) as server:
        sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(4)]
        wait_until(lambda: server.status()["totals"]["connections"] == 4)
        assert server.client.get("/", headers={"connection": "close"}).status_code == 503
        for sock in sockets:
            sock.close()
        wait_until(lambda: server.client.get("/", headers={"connection": "close"}).status_code == 200)
        wait_until(lambda: server.status()["totals"]["refused"] >= 1)


def test_the_supervisor_does_not_load_the_app(folder: Path) -> None:
    (folder / "app.py").write_text("import os\nprint('loaded by', os.getpid(), flush=True)\n" + APP)
    with Supervised("--workers", "2", folder=folder) as server:
        assert f"loaded by {server.pid}" not in server.log
        assert server.log.count("loaded by") == 2


def test_without_workers_the_first_process_serves(folder: Path) -> None:
    with Supervised("--workers", "0", folder=folder) as server:
        assert server.ask()["pid"] == server.pid
        assert server.stop() == 0


def test_settings_say_what_options_do_not(folder: Path) -> None:
    (folder / "quintet.toml").write_text("[server]\nworkers = 2\nport = 1\n")
    with Supervised(folder=folder, env={"SERVER_GRACE": "3"}) as server:
        assert len(server.workers()) == 2
        assert server.port != 1


def test_r25_workers_share_nothing_but_the_port(folder: Path) -> None:
    with Supervised("--workers", "3", folder=folder) as server, ThreadPoolExecutor(16) as pool:
        seen: dict[int, set[tuple[str, int]]] = {}

        def look() -> bool:
            server_load = list(pool.map(lambda _: server.ask("/slow?seconds=0.05"), range(12)))
            assert server_load
            for answer in pool.map(lambda _: server.ask(), range(24)):
                seen.setdefault(answer["pid"], set()).add((answer["token"], answer["inode"]))
            return len(seen) >= 2

        wait_until(look)
        parts = [next(iter(values)) for values in seen.values()]
        assert all(len(values) == 1 for values in seen.values())
        assert len({token for token, _ in parts}) == len({inode for _, inode in parts}) == len(seen)
        # A lock that is held in one worker is free in the others, and 16 threads do not lock each other out.
        answers = list(pool.map(lambda _: server.ask("/blocking?seconds=0.01"), range(64)))
        assert len(answers) == 64


# -- R8: the end ----------


@pytest.mark.parametrize("workers", ["1", "2"])
def test_r8_a_graceful_stop_answers_everything_under_way(folder: Path, workers: str) -> None:
    with Supervised("--workers", workers, folder=folder) as server, ThreadPoolExecutor(50) as pool:
        answers = [pool.submit(server.client.get, "/slow?seconds=1.5") for _ in range(40)]
        answers += [pool.submit(server.client.get, "/blocking?seconds=0.05") for _ in range(10)]
        streamed: list[str] = []

        def read_stream() -> None:
            with server.client.stream("GET", "/stream") as response:
                streamed.extend(response.iter_lines())

        reader = threading.Thread(target=read_stream)
        reader.start()
        with (
            connect(f"ws://127.0.0.1:{server.port}/ws") as websocket,
            socket.create_connection(("127.0.0.1", server.port)) as kept,
        ):
            websocket.send('"x"')
            assert websocket.recv() == '"x"'
            kept.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"connection: close" not in kept.recv(4096)
            wait_until(lambda: server.status()["totals"]["requests"] >= 52)
            begin = time.monotonic()
            server.process.terminate()
            with pytest.raises(ConnectionClosed) as closed:
                websocket.recv()
            # A client that keeps its connection is told that this answer is the last.
            kept.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            last = kept.recv(4096)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
            wait_until(lambda: is_refused(server.port))
            if workers == "1":  # the worker of this connection has begun to end, as the WebSocket's has
                assert b"connection: close" in last
        assert [answer.result().status_code for answer in answers] == [200] * 50
        reader.join()
        assert streamed == ["begin", "told"]
        assert server.process.wait(PATIENCE) == 0
        assert time.monotonic() - begin < 10
        assert len(list(lines_of(folder / "ended"))) == int(workers)


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_r8_a_second_signal_ends_at_once(folder: Path) -> None:
    with Supervised(folder=folder) as server, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.cut, "/slow?seconds=30")
        wait_until(lambda: server.status()["totals"]["requests"] >= 1)
        server.process.terminate()
        wait_until(lambda: is_refused(server.port))
        begin = time.monotonic()
        server.process.terminate()
        server.process.wait(PATIENCE)
        assert time.monotonic() - begin < 5
        answer.result()
        assert list(lines_of(folder / "ended"))  # the lifespan has ended all the same


def test_r8_what_takes_longer_than_the_grace_is_cut(folder: Path) -> None:
    with Supervised("--grace", "0.5", folder=folder) as server, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.cut, "/slow?seconds=30")
        wait_until(lambda: server.status()["totals"]["requests"] >= 1)
        assert server.stop() == 0
        answer.result()


def test_a_lifespan_whose_end_fails_is_told(folder: Path) -> None:
    (folder / "app.py").write_text(APP.replace("    yield\n", "    yield\n    raise LookupError('not closed')\n", 1))
    with Supervised(folder=folder) as server:
        assert server.stop() == 1
        assert "LookupError: not closed" in server.log


def test_ctrl_c_in_a_terminal_reaches_everyone_and_ends_in_order(folder: Path) -> None:
    with Supervised("--workers", "2", folder=folder) as server, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.ask, "/slow?seconds=1")
        wait_until(lambda: server.status()["totals"]["requests"] >= 1)
        for process in [*server.workers(), psutil.Process(server.pid)]:
            process.send_signal(signal.SIGINT)
        assert answer.result()["pid"]
        assert server.process.wait(PATIENCE) == 0


#: Sends signals in the interpreter's own end, when those with a handler have been given back to the system.
LATE = """
import os
import signal
import sys


class Late:
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)

    def __del__(self, kill=os.kill, pid=os.getpid(), mkdir=os.mkdir):
        for number in self.signals:
            kill(pid, number)
        mkdir(f"late-{pid}")


sys.late = Late()
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_signals_that_come_last_of_all_make_no_failure_of_a_clean_end(folder: Path, workers: int) -> None:
    (folder / "sitecustomize.py").write_text(LATE)
    with Supervised("--workers", str(workers), folder=folder, env={"PYTHONPATH": str(folder)}) as server:
        assert server.stop() == 0, server.log
        assert len(list(folder.glob("late-*"))) == workers + 1  # each process was sent them, and has gone on


# -- R9: reload ----------


def test_r9_reload_under_load_loses_no_request(folder: Path) -> None:
    with Supervised("--workers", "2", folder=folder) as server, Load(server.port) as load:
        load.wait(100)
        for version in ("second", "third one", "the fourth"):
            write_version(folder, version)
            before = set(server.serving())
            done = server.quintet("reload")
            assert done.returncode == 0, done.stderr
            assert before.isdisjoint(server.serving())
            load.wait(100)
        write_version(folder, "by a signal")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "by a signal" in load.versions)
        load.wait(100)
    assert load.failures == []
    assert load.versions == {"one", "second", "third one", "the fourth", "by a signal"}


def test_r9_broken_new_code_keeps_the_old_serving(folder: Path) -> None:
    broken = {
        "def broken(:\n": "SyntaxError",
        "import no_such_module\n": "ModuleNotFoundError: No module named 'no_such_module'",
        APP.replace("    yield\n", "    raise LookupError('no database')\n    yield\n", 1): "LookupError: no database",
        APP + "\n@app.get('/')\nasync def again() -> None: ...\n": "routes.duplicate",
        "import os\nos._exit(9)\n": "ended with exit code 9 before it was ready",
        "raise SystemExit(3)\n": "SystemExit(3)",
    }
    with Supervised(folder=folder) as server:
        before = server.ask()["pid"]
        for code, told in broken.items():
            (folder / "app.py").write_text(code)
            done = server.quintet("reload")
            assert done.returncode == 1
            assert told in done.stderr
            assert server.ask() == server.ask() | {"version": "one", "pid": before}
        assert server.log.count("the old code goes on serving") == len(broken)
        write_version(folder, "repaired")
        assert server.quintet("reload").returncode == 0
        assert server.ask()["version"] == "repaired"


def test_reload_takes_over_a_changed_number_of_workers(folder: Path) -> None:
    with Supervised(folder=folder) as server:
        (folder / "quintet.toml").write_text("[server]\nworkers = 3\n")
        assert server.quintet("reload").returncode == 0
        assert len(server.serving()) == 3
        (folder / "quintet.toml").write_text("[server]\nworkers = 'many'\n")
        done = server.quintet("reload")
        assert done.returncode == 1
        assert "give a whole number or one of 'auto'" in done.stderr
        assert len(server.serving()) == 3


def test_websockets_of_old_workers_are_told_to_come_again(folder: Path) -> None:
    with Supervised(folder=folder) as server, connect(f"ws://127.0.0.1:{server.port}/ws") as websocket:
        websocket.send('"x"')
        assert websocket.recv() == '"x"'
        assert server.quintet("reload").returncode == 0
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001


# -- R10: crashes ----------


def test_r10_a_killed_worker_is_replaced_and_the_other_serves_on(folder: Path) -> None:
    with Supervised("--workers", "2", folder=folder) as server, Load(server.port, kept=0) as load:
        victim = server.workers()[0]
        victim.kill()
        took = wait_until(lambda: len(server.serving()) == 2 and victim.pid not in server.serving())
        assert took < 10
        load.wait(50)
    assert len(load.failures) <= 2  # those that were under way in the victim
    assert f"worker {victim.pid} was killed by SIGKILL; another one is started" in server.log


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/exit", ["ended with exit code 7"]),
        ("/segfault", ["was killed by SIGSEGV", "Fatal Python error: Segmentation fault", "in segfault"]),
    ],
)
def test_r10_a_worker_that_crashes_is_replaced_and_its_stack_is_logged(
    folder: Path, path: str, told: list[str]
) -> None:
    with Supervised(folder=folder) as server:
        before = server.ask()["pid"]
        server.cut(path)
        assert server.ask()["pid"] != before
        for text in told:
            assert text in server.log


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of another process can be set on Linux alone")
def test_r10_a_worker_without_memory_answers_an_error_and_serves_on(folder: Path) -> None:
    (folder / "app.py").write_text(APP + "\n@app.get('/eat')\ndef eat() -> int:\n    return len(bytearray(1 << 33))\n")
    with Supervised(folder=folder) as server:
        (worker,) = server.workers()
        bound = worker.memory_info().vms + (1 << 28)
        worker.rlimit(psutil.RLIMIT_AS, (bound, bound))
        assert server.client.get("/eat").status_code == 500
        assert server.ask()["pid"] == worker.pid


def test_r10_a_crash_loop_backs_off_and_ends_with_an_error(folder: Path) -> None:
    (folder / "app.py").write_text(APP + "\nimport threading\nthreading.Timer(0.2, os._exit, [5]).start()\n")
    env = {"SERVER_RESPAWN_DELAY": "0.01", "SERVER_MAX_DEATHS": "4"}
    with Supervised(folder=folder, env=env) as server:
        assert server.process.wait(PATIENCE) == 1
        assert server.log.count("; another one is started") + server.log.count("a worker does not start") == 4
        assert "4 workers in a row died within 10 seconds: the server gives up" in server.log
        assert is_port_free(server.port)


def test_r10_an_old_worker_outlives_others_that_do_not_start_again(folder: Path) -> None:
    env = {"SERVER_RESPAWN_DELAY": "0.01", "SERVER_MAX_DEATHS": "2", "SERVER_HEALTHY_AFTER": "1.5"}
    with Supervised("--workers", "2", folder=folder, env=env) as server:
        old, victim = server.workers()
        wait_until(lambda: min(worker["age"] for worker in server.status()["workers"]) > 2.5)
        (folder / "app.py").write_text("raise LookupError('no database')\n")
        victim.kill()
        wait_until(lambda: server.log.count("a worker does not start") >= 3)
        assert server.ask()["pid"] == old.pid
        (folder / "app.py").write_text(APP)
        wait_until(lambda: len(server.serving()) == 2)


# -- R11: the supervisor dies ----------


@pytest.mark.parametrize("state", ["idle", "hanging"])
def test_r11_workers_end_with_their_supervisor_and_the_port_is_free(folder: Path, state: str) -> None:
    with Supervised("--workers", "2", folder=folder) as server:
        workers = server.workers()
        if state == "hanging":
            with socket.create_connection(("127.0.0.1", server.port)) as sock:
                sock.sendall(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
                wait_until(lambda: max(worker.cpu_percent(0.05) for worker in workers) > 20)
        server.process.kill()
        server.process.wait()
        begin = time.monotonic()
        wait_until(lambda: all(map(has_ended, workers)))
        assert time.monotonic() - begin < 2
        assert is_port_free(server.port)


# -- R12: a hung loop ----------


def test_r12_a_worker_that_hangs_is_replaced_and_its_stack_is_logged(folder: Path) -> None:
    with Supervised("--workers", "2", "--watchdog", "1.5", folder=folder) as server:
        before = {worker.pid for worker in server.workers()}
        sock = socket.create_connection(("127.0.0.1", server.port))
        sock.sendall(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
        server.ask()  # others are served
        with sock:
            sock.settimeout(PATIENCE)
            assert sock.recv(100) == b""
        server.wait_for("its loop had not turned for")
        assert "in hang" in server.log
        wait_until(lambda: len(server.serving()) == 2)
        assert len(before & set(server.serving())) == 1


def test_r12_a_handler_that_hangs_in_its_thread_leaves_the_loop_alive(folder: Path) -> None:
    with Supervised("--watchdog", "1.5", folder=folder) as server:
        pid = server.ask()["pid"]
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(b"GET /hang-in-thread HTTP/1.1\r\nHost: x\r\n\r\n")
            wait_until(lambda: server.workers()[0].cpu_percent(0.1) > 20)
            beat = time.monotonic()
            while time.monotonic() - beat < 3:
                assert server.ask()["pid"] == pid
        server.process.kill()  # nothing ends that thread


def test_a_stopped_server_is_not_taken_for_a_hung_one(folder: Path) -> None:
    with Supervised("--watchdog", "3", folder=folder) as server:
        worker = server.workers()[0]
        for process in (psutil.Process(server.pid), worker):
            process.suspend()
        time.sleep(4)  # the machine sleeps
        for process in (psutil.Process(server.pid), worker):
            process.resume()
        assert server.ask()["pid"] == worker.pid


# -- recycling ----------


@pytest.mark.parametrize(
    ("option", "reason"), [(("--max-requests", "50"), "requests"), (("--max-age", "1"), "it is old")]
)
def test_workers_are_recycled_without_a_failed_request(folder: Path, option: tuple[str, str], reason: str) -> None:
    with Supervised(*option, folder=folder) as server, Load(server.port) as load:
        wait_until(lambda: len(load.pids) >= 3)
    assert load.failures == []
    assert "replaced a worker" in server.log


def test_a_worker_that_is_told_to_end_by_a_signal_is_replaced(folder: Path) -> None:
    with Supervised("--workers", "2", folder=folder) as server, Load(server.port) as load:
        load.wait(50)
        victim = server.workers()[0]
        victim.terminate()
        wait_until(lambda: victim.pid not in server.serving() and len(server.serving()) == 2)
        load.wait(50)
    assert load.failures == []


# -- R28: the start ----------


@pytest.mark.parametrize(
    ("workers", "code", "told"),
    [
        ("1", "import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("3", APP.replace("    yield\n", "    raise OSError('10.0.0.1 unreachable')\n    yield\n", 1),
         "OSError: 10.0.0.1 unreachable"),
        ("3", APP + "\n@app.get('/')\nasync def again() -> None: ...\n", "routes.duplicate"),
        ("1", "import os\nos.kill(os.getpid(), 9)\n", "was killed by SIGKILL before it was ready"),
    ],
)  # fmt: skip
def test_r28_an_app_that_does_not_start_is_told_once(tmp_path: Path, workers: str, code: str, told: str) -> None:
    (tmp_path / "app.py").write_text(code)
    result = run_to_end("run", "--port", "0", "--workers", workers, folder=tmp_path)
    assert result.returncode == 1
    assert result.stderr.count(told) == 1
    assert "Quintet serves" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "env", "told"),
    [
        (("--port", "0", "nothing.py"), {}, "there is no file"),
        (("--port", "0", "--workers", "-1"), {}, "-1"),
        (("--port", "0"), {"SERVER_WORKERS": "many"}, "SERVER_WORKERS"),
        (("--port", "0"), {"SERVER_GRACE": "-1", "SERVER_PORT": "x"}, "SERVER_GRACE"),
        (("--port", "0"), {"APP_KEEP_ALIVE": "never"}, "APP_KEEP_ALIVE"),
        (("--port", "0", "--host", "203.0.113.1"), {}, "cannot listen on 203.0.113.1:0"),
        (("--uds", "no/such/folder/s"), {}, "cannot listen on no/such/folder/s"),
    ],
)
def test_r28_a_wrong_configuration_is_told(
    folder: Path, arguments: tuple[str, ...], env: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    result = run_to_end("run", *arguments, folder=folder)
    assert result.returncode in (1, 2)
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_r28_an_app_that_takes_too_long_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "app.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv("SERVER_START_TIMEOUT", "1")
    result = run_to_end("run", "--port", "0", folder=folder)
    assert result.returncode == 1
    assert "was not ready within 1 seconds" in result.stderr


def test_r28_a_folder_that_cannot_be_written_does_not_matter(folder: Path) -> None:
    with Supervised(folder=folder, env={"XDG_RUNTIME_DIR": "/proc/no"}) as server:
        assert server.ask()["version"] == "one"
        assert "no control socket" in server.log


# -- R30: everything dies at once ----------


def test_r30_what_was_acknowledged_survives_the_death_of_all_processes(folder: Path) -> None:
    acknowledged: list[int] = []
    number = 0
    for _ in range(2):
        with Supervised("--workers", "2", folder=folder) as server:
            ending = threading.Event()

            def write(begin: int, server: Supervised = server, ending: threading.Event = ending) -> None:
                for n in range(begin, begin + 1000):
                    try:
                        if not ending.is_set() and server.client.post(f"/keep/{n}").status_code == 201:
                            acknowledged.append(n)
                    except Exception:
                        return

            writers = [threading.Thread(target=write, args=(number + 1000 * i,)) for i in range(3)]
            number += 3000
            goal = len(acknowledged) + 30
            for writer in writers:
                writer.start()
            wait_until(lambda goal=goal: len(acknowledged) >= goal)
            server.kill_all()
            ending.set()
            for writer in writers:
                writer.join()
    kept = [int(line) for line in lines_of(folder / "kept")]
    assert set(acknowledged) <= set(kept)
    assert len(acknowledged) >= 60
