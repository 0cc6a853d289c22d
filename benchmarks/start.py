"""Measures import time, start-up and memory: `python benchmarks/start.py`.

Import is compared with `import asyncio, msgspec` in the same run; a start is from the process's start to its first
answer; memory is the resident set of the worker after it. Medians of several runs. Needs Linux.
"""

from __future__ import annotations

import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from run import family, free_port

HELLO = """
from quintet import App

app = App()


@app.get("/hello/{name}")
async def hello(name: str, times: int = 1) -> dict[str, str]:
    return {"message": "Hello, " + ", ".join([name] * times)}
"""

THOUSAND = """
import sys
sys.path.insert(0, %r)
import os
os.environ["QUINTET_BENCH_ROUTES"] = %r
from app import app
"""


def import_time(statement: str) -> float:
    """Return the milliseconds that a statement takes in a new interpreter."""
    code = f"import time; a = time.perf_counter(); {statement}; print((time.perf_counter() - a) * 1e3)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def memory_of(pid: int) -> float:
    """Return the resident set of a process, in MiB."""
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024


def start(source: str, path: str) -> tuple[float, float]:
    """Return milliseconds from the start of a server to its first answer, and its memory in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "started.py"
        file.write_text(source)
        port = free_port()
        begin = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "quintet", "run", str(file), "--port", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        try:
            while True:
                try:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                    connection.request("GET", path)
                    connection.getresponse().read()
                    break
                except OSError:
                    if time.perf_counter() - begin > 20:
                        raise SystemExit("the server did not start") from None
                    time.sleep(0.002)
            elapsed = (time.perf_counter() - begin) * 1e3
            memory = max(memory_of(pid) for pid in family(process.pid))
        finally:
            process.terminate()
            process.wait(10)
        return elapsed, memory


def main() -> None:
    """Print the figures."""
    runs = 7
    base = statistics.median(import_time("import asyncio, msgspec") for _ in range(runs))
    ours = statistics.median(import_time("import quintet") for _ in range(runs))
    both = statistics.median(import_time("from quintet import App") for _ in range(runs))
    print(f"import asyncio, msgspec   {base:7.1f} ms")
    print(f"import quintet            {ours:7.1f} ms   {ours / base:.2f} of it (budget 1.5)")
    print(f"from quintet import App   {both:7.1f} ms   {both / base:.2f} of it")
    here = str(Path(__file__).parent)
    for name, source, path in (
        ("hello", HELLO, "/hello/Ada"),
        ("10 routes", THOUSAND % (here, "10"), "/json"),
        ("1,000 routes", THOUSAND % (here, "1000"), "/json"),
    ):
        results = [start(source, path) for _ in range(3)]
        ready, memory = (statistics.median(values) for values in zip(*results, strict=True))
        budget = "   (budget 250 ms, 36 MiB)" if name == "hello" else ""
        print(f"{name:<24}  {ready:7.0f} ms to the first answer, {memory:.1f} MiB{budget}")


if __name__ == "__main__":
    main()
