"""The code in the documentation runs, and answers what the pages say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.transcripts import DOCS, check_page, pages


@pytest.mark.parametrize("page", pages(), ids=lambda p: str(p.relative_to(DOCS)))
def test_answers_on_a_page_are_those_of_its_examples(page: Path) -> None:
    assert "\n\n".join(check_page(page)) == ""
