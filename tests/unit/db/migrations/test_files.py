"""Revision files: their names."""

from __future__ import annotations

import datetime
from pathlib import Path

from quintet.db.migrations.files import write

NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)


def test_files_written_at_once_stand_in_their_order(tmp_path: Path) -> None:
    late = NOON + datetime.timedelta(seconds=1)
    written = [
        write(tmp_path, message=message, down=None, now=now)
        for message, now in [("b", NOON), ("a", NOON), ("a", NOON), ("a", late)]
    ]
    assert [path.name for path in written] == [
        "20260101_120000_b.py",
        "20260101_120001_a.py",
        "20260101_120002_a.py",
        "20260101_120003_a.py",
    ]
    assert sorted(tmp_path.iterdir()) == written
