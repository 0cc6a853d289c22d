"""What runs of tests that were killed have left on the servers goes away, and what others use stays."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.own_database import PREFIX, MariaDB, Postgres, Require, drop_abandoned, server_database

ROOT = Path(__file__).resolve().parents[3]
RUN = """
import sys
import sqlalchemy as sa
from tests.integration.db.migrated import with_driver
from tests.integration.own_database import server_database
with server_database(sys.argv[1], lambda name: (sys.argv[2], int(sys.argv[3]))) as url:
    connection = sa.create_engine(with_driver(url)).connect()
    connection.execute(sa.text("CREATE TABLE one (id integer)"))
    connection.commit()
    connection.execute(sa.text("SELECT * FROM one"))
    print(url.rpartition("/")[2], flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_the_databases_of_killed_runs_are_dropped_and_no_others(kind: str, require_service: Require) -> None:
    host, port = require_service("postgres" if kind == "postgres" else "mysql")
    with (
        server_database(kind, require_service) as url,
        closing((Postgres if kind == "postgres" else MariaDB)(host, port)) as server,
        subprocess.Popen(
            [sys.executable, "-c", RUN, kind, host, str(port)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as run,
    ):
        assert run.stdout is not None
        theirs, ours = run.stdout.readline().strip(), url.rpartition("/")[2]
        assert theirs.startswith(PREFIX)
        drop_abandoned(server)
        assert {theirs, ours} <= set(server.names())
        run.kill()
        run.wait()
        while theirs in server.names():  # the server takes a moment to see that it has gone
            drop_abandoned(server)
        assert ours in server.names()
