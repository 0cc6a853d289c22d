from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from quintet.openapi.docstrings import read_docstring


def handler() -> None:
    """Do something
    on two lines.

    More about it.

    - a list

    Args:
        first: what comes
            first.
        second (int): what comes second.

    Raises:
        ValueError: never.
    """


def test_a_docstring_has_a_summary_a_description_and_arguments():
    found = read_docstring(handler)
    assert found.summary == "Do something on two lines."
    assert found.description == "More about it.\n\n- a list"
    assert found.arguments == {"first": "what comes first.", "second": "what comes second."}


def test_no_docstring_is_no_words():
    def bare() -> None: ...

    assert read_docstring(bare) == ("", "", {})


def test_an_object_does_not_speak_with_the_words_of_its_class():
    call: Callable[..., Any] = functools.partial(handler)
    assert read_docstring(call).summary == ""
