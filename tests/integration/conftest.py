"""The order of the files: those of few but long tests first, so that the workers which share them end together."""

from __future__ import annotations

import pytest

#: The longest first; seconds differ by machine, the order hardly does.
LONG = (
    "test_docs_helpdesk.py", "test_fixtures.py", "test_rows_r.py", "test_streams.py", "test_export.py",
    "test_migrations_faults.py", "test_docs.py", "test_conformance.py", "test_schemathesis.py", "test_deadlines.py",
    "test_proxies.py", "test_log_output.py", "test_tls.py", "test_control.py", "test_smuggling.py", "test_clock.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONG)))
