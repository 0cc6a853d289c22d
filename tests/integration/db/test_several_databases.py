"""An app with two databases of different kinds, as the page about it shows: migrations, requests, readiness, tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.own_database import Require, own_database

EXAMPLE = Path(__file__).parents[3] / "examples/docs/several_databases"
#: Plugins that take time to load.
OFF = ("-p", "no:cacheprovider", "-p", "no:faker", "-p", "no:schemathesis", "-p", "no:hypothesispytest")

USE = """
from click.testing import CliRunner
from sqlalchemy import inspect
from quintet.cli.main import main
from quintet.testing import Client

def db(*arguments):
    done = CliRunner().invoke(main, ["db", "--app", "shop:app", *arguments])
    assert done.exit_code == 0, done.output
    return done.output

assert "[resources]" in db("history")
db("upgrade")
written = db("revision", "-m", "Begin")
assert written.count("missing in the database") == 2, written
assert "database default:\\ntable customer: missing" in written, written
assert "database reports:\\ntable visit: missing" in written, written
db("upgrade")
assert db("check") == "models, revisions and database agree\\n"
assert db("revision", "-m", "Nothing").count("nothing to write") == 2

from shop import app

with_keys = [
    name
    for name, database in app.state["quintet.db"].items()
    if inspect(database.sync_engine).has_table("quintet_idempotency")
]
assert with_keys == ["reports"], with_keys

with Client(app) as client:
    id = client.post("/customers/Ada/visits/2026-01-31").json()["id"]
    assert client.post("/customers/Ada/visits/2026-02-01").status_code == 409
    key = {"x-counter": "1", "idempotency-key": "a"}
    visit = {"customer_id": id, "day": "2026-02-02", "pages": 2}
    made, again = (client.post("/visit", json=visit, headers=key) for _ in range(2))
    assert again.headers["idempotency-replayed"] == "true"
    assert client.get(made.headers["location"]).json() == visit
    assert client.get("/pages").json() == {"Ada": 3}
    ready = {check["name"]: check["status"] for check in client.get("/readyz").json()["checks"]}
    assert ready["database"] == ready["database.reports"] == "ok", ready
print("done")
"""


@pytest.mark.parametrize(("main", "reports"), [("sqlite", "postgres"), ("postgres", "mariadb")])
def test_the_app_of_the_page_works_on_databases_of_two_kinds(
    main: str, reports: str, require_service: Require, tmp_path: Path
) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    with own_database(main, require_service, tmp_path) as one, own_database(reports, require_service, tmp_path) as two:
        env = {**os.environ, "DATABASE_URL": one, "REPORTS_URL": two, "PYTHONPATH": str(folder)}

        def run(*arguments: str) -> str:
            command = [sys.executable, *arguments]
            done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        assert run("-c", USE).endswith("done\n")
        options = ["-c", os.devnull, "--rootdir", ".", *OFF, "-o", "asyncio_mode=auto"]
        assert "4 passed" in run("-m", "pytest", "-q", *options)  # in databases made by the revisions
