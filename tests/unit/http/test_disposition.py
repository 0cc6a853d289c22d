from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.http.disposition import MAX_NAME, content_disposition
from quintet.http.headers import ResponseHeaders

FORM = re.compile(
    r"(attachment|inline)(; filename=\"([ -!#$&-\[\]-~]+)\"(; filename\*=UTF-8''([A-Za-z0-9!#$&+.^_`|~%-]+))?)?"
)


@pytest.mark.parametrize(
    ("name", "want"),
    [
        (None, "attachment"),
        ("", "attachment"),
        ("report.pdf", 'attachment; filename="report.pdf"'),
        ("a report (1).pdf", 'attachment; filename="a report (1).pdf"'),
        ("../../etc/passwd", 'attachment; filename="passwd"'),
        ("C:\\x\\y.txt", 'attachment; filename="y.txt"'),
        ("naïve.txt", "attachment; filename=\"na_ve.txt\"; filename*=UTF-8''na%C3%AFve.txt"),
        ("100%.txt", "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
    ],
)
def test_names_are_written_for_old_and_new_clients(name: str | None, want: str) -> None:
    assert content_disposition(name) == want


def test_a_file_can_be_shown_inline() -> None:
    assert content_disposition("a.png", inline=True) == 'inline; filename="a.png"'


def test_c15_a_name_cannot_break_out() -> None:
    value = content_disposition('a";x="b\r\n')
    assert value == "attachment; filename=\"a_;x=_b__\"; filename*=UTF-8''a%22%3Bx%3D%22b__"


def test_marks_that_disguise_an_extension_are_replaced() -> None:
    assert "%E2%80%AE" not in content_disposition("invoice\u202efdp.exe")


def test_a_long_name_keeps_its_extension() -> None:
    value = content_disposition("a" * 100_000 + ".tar")
    assert value.endswith('a.tar"')
    assert len(value) < MAX_NAME + 50


@given(st.text(), st.booleans())
def test_any_name_gives_a_valid_field(name: str, inline: bool) -> None:
    value = content_disposition(name, inline=inline)
    found = FORM.fullmatch(value)
    assert found
    ResponseHeaders().set("content-disposition", value)
    exact = unquote(found[5]) if found[5] else found[3]
    assert exact is None or not re.search(r"[/\\\x00-\x1f]", exact)
