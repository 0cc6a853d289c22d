"""schemathesis asks an app for whatever its document allows and forbids: no 5xx, no answer that is not documented."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
#: By name: the app, and its streams without end, which would be read until a timeout and tell nothing.
APPS = {
    "every kind of route": (HERE / "openapi_app.py", ()),
    "resources": (HERE / "resources_app.py", ()),
    "worldclock": (ROOT / "examples" / "worldclock" / "app.py", ("/live/events",)),
}


@pytest.fixture(params=list(APPS))
def served(request: pytest.FixtureRequest) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The address of an app, served as users do it, and its streams without end."""
    path, endless = APPS[request.param]
    command = [sys.executable, "-m", "quintet", "run", str(path), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=path.parent)
    try:
        assert process.stderr is not None
        lines: list[str] = []
        found: re.Match[str] | None = None
        while found is None:  # a warning may come first
            lines.append(process.stderr.readline())
            assert lines[-1], "".join(lines)
            found = re.search(r"http://[\d.:]+", lines[-1])
        yield found[0], endless
    finally:
        process.terminate()
        _, rest = process.communicate(timeout=40)
        assert "Traceback" not in rest


@pytest.mark.slow
def test_schemathesis_finds_nothing(served: tuple[str, tuple[str, ...]], tmp_path: Path):
    url, endless = served
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        f"--config-file={HERE / 'schemathesis.toml'}",
        "run",
        f"{url}/openapi.json",
        "--phases=examples,coverage,fuzzing",
        "--max-examples=25",
        "--generation-database=none",
        "--seed=1",
        "--no-color",
        *(f"--exclude-path={path}" for path in endless),
    ]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py")}
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300, check=False
    )
    assert result.returncode == 0, result.stdout[-20_000:] + result.stderr[-2_000:]
