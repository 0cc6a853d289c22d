from __future__ import annotations

import time
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.http.redirects import MAX_TARGET, safe_redirect_target

HOST = "good.example"


@pytest.mark.parametrize(
    ("target", "want"),
    [
        ("/", "/"),
        ("/a/b?next=//x#y", "/a/b?next=//x#y"),
        ("/caf\u00e9", "/caf\u00e9"),
        ("https://good.example/a?b", "/a?b"),
        ("http://GOOD.example", "/"),
        ("https://good.example?x=1", "/?x=1"),
    ],
)
def test_targets_on_the_same_host_are_kept(target: str, want: str) -> None:
    assert safe_redirect_target(target, HOST) == want


def test_the_port_belongs_to_the_host() -> None:
    assert safe_redirect_target("http://good.example:8000/a", "good.example:8000") == "/a"
    assert safe_redirect_target("http://good.example:8000/a", HOST) is None


@pytest.mark.parametrize(
    "target",
    [
        "",
        "//e",
        "///e",
        "/\\e",
        "\\\\e",
        "\\/e",
        "https:e",
        "https:/e",
        "http:///e",
        "\t//e",
        " //e",
        "/\t/e",
        "/\n/e",
        "/a\r\nSet-Cookie: x",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://good@evil",
        "https://good.example@evil/",
        "https://good.example:x@evil/",
        "https://evil/good.example",
        "https://good.example.evil/",
        "https://evil\\@good.example/",
        "https://good.example//evil",
        "HTTPS://good.example/",
        "ftp://good.example/",
        "a/b",
        "?x=1",
        "#x",
        "/\u2028x",
        "\ufeff//e",
        "/\ud800",
        "/" + "a" * 1_000_000,
        "https://" + "a" * 1_000_000,
    ],
)
def test_c8_other_targets_are_refused(target: str) -> None:
    assert safe_redirect_target(target, HOST) is None


@given(
    st.text()
    | st.text(st.sampled_from("/\\:@?#htps.good e\t")).map("https://good.example".__add__)
    | st.text("/\\.:@e\t")
)
def test_what_is_returned_stays_on_the_host(target: str) -> None:
    found = safe_redirect_target(target, HOST)
    if found is not None:
        assert len(found) <= MAX_TARGET
        assert urlsplit(urljoin(f"https://{HOST}/login", found)).netloc == HOST
        assert safe_redirect_target(found, HOST) == found


def test_refusing_is_linear() -> None:
    start = time.process_time()
    for unit in "/", "https://", "a", "\\", ":":
        safe_redirect_target(unit * 1_000_000, HOST)
    assert time.process_time() - start < 1
