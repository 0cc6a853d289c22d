from __future__ import annotations

import pytest

from quintet.errors import ContentTooLarge, ValidationError, status_phrase


@pytest.mark.parametrize(
    ("status", "phrase"),
    [(404, "Not Found"), (413, "Content Too Large"), (422, "Unprocessable Content"), (599, "Error")],
)
def test_a_status_has_the_phrase_of_rfc_9110_on_every_python(status: int, phrase: str) -> None:
    assert status_phrase(status) == phrase


def test_the_title_of_an_error_is_its_phrase() -> None:
    assert ContentTooLarge().title == "Content Too Large"
    assert ValidationError([]).title == "Unprocessable Content"
