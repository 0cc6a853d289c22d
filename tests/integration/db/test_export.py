"""A large table leaves a real server as JSON Lines and CSV while its memory stays what it was.

`QUINTET_EXPORT_ROWS=10000000 pytest tests/integration/db/test_export.py` tries ten million rows.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from quintet.db import Database
from tests.integration.command import Command
from tests.integration.db.export_app import Export

ROWS = int(os.environ.get("QUINTET_EXPORT_ROWS", "60000"))
ROOT = Path(__file__).resolve().parents[3]
FILL = {
    "sqlite": "INSERT INTO export_line (id, text) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE"
    " n < :rows) SELECT n, 'a line of the export, number ' || n || ', which is as long as usual' FROM c",
    "postgresql": "INSERT INTO export_line (id, text) SELECT n, 'a line of the export, number ' || n || ', which is as"
    " long as usual' FROM generate_series(1, CAST(:rows AS integer)) n",
    "mysql": "INSERT INTO export_line (id, text) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n"
    " < :rows) SELECT n, concat('a line of the export, number ', n, ', which is as long as usual') FROM c",
}
#: What a process may grow by: buffers and the allocator's, not rows (60,000 are 25 MB as objects).
GROWTH = 12 * 2**20


@pytest.mark.parametrize("url", ["sqlite", "postgres", "mariadb"], indirect=True)
def test_an_export_of_many_rows_takes_no_more_memory_than_one_of_few(url: str, tmp_path: Path) -> None:
    database = Database(url)
    try:
        check(database, url, tmp_path)
    finally:
        Export.metadata.drop_all(database.sync_engine)
        database.dispose_sync()


def check(database: Database, url: str, tmp_path: Path) -> None:
    Export.metadata.drop_all(database.sync_engine)
    Export.metadata.create_all(database.sync_engine)
    with database.sync_session() as db:
        if database.dialect == "mysql":
            db.execute(text(f"SET max_recursive_iterations = {ROWS + 1}"))
        db.execute(text(FILL[database.dialect]), {"rows": ROWS})
    environment = {"EXPORT_DATABASE": url, "PYTHONPATH": str(ROOT)}
    app = "tests.integration.db.export_app:app"
    with Command("run", app, folder=tmp_path, env=environment) as server:
        [process] = psutil.Process(server.process.pid).children()  # the worker; its supervisor serves nothing
        for path in ("/jsonl", "/csv", "/sync"):
            before = highest = 0
            lines = 0
            with server.client.stream("GET", path) as answer:
                assert answer.status_code == 200
                for number, chunk in enumerate(answer.iter_bytes()):
                    lines += chunk.count(b"\n")
                    if number % 50 == 0:
                        now = process.memory_info().rss
                        before = before or now
                        highest = max(highest, now)
            assert lines == ROWS, path
            assert highest - before < GROWTH, f"{path}: from {before >> 20} to {highest >> 20} MiB"
