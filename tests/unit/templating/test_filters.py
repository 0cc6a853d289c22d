from __future__ import annotations

import datetime as dt
import json
import time
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment
from markupsafe import Markup

from quintet.templating.environment import QuintetEnvironment
from quintet.templating.filters import FILTERS, MAX_TEXT, safe_url, striptags, tojson

ENV = QuintetEnvironment(autoescape=True)
ENV.filters.update(FILTERS)
STOCK = Environment(autoescape=True)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v, max_size=3),
)


@given(json_values)
def test_e4_tojson_cannot_leave_its_script_or_attribute(value: Any) -> None:
    text = tojson(value)
    assert not set("<>&'\u2028\u2029") & set(text)
    assert json.loads(text) == value


def test_tojson_takes_what_handlers_return() -> None:
    class Point(msgspec.Struct):
        x: int
        when: dt.date

    assert tojson(Point(1, dt.date(2024, 2, 3))) == '{"x":1,"when":"2024-02-03"}'
    assert tojson([Decimal("1.5"), Markup("<b>"), float("nan")]) == '["1.5","\\u003cb\\u003e",null]'
    assert tojson([1], indent=2) == "[\n  1\n]"
    with pytest.raises(TypeError, match="object"):
        tojson(object())


def test_tojson_is_not_escaped_again() -> None:
    out = ENV.from_string("<script>let v = {{ v|tojson }}</script>").render(v="</script><script>")
    assert out == '<script>let v = "\\u003c/script\\u003e\\u003cscript\\u003e"</script>'


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)", " JavaScript:alert(1)", "java\nscript:alert(1)", "\x01javascript:x", "data:text/html,x",
        "vbscript:x", "java\tscript:x", "\u00a0javascript:x", "blob:x", "file:///etc/passwd", "view-source:x",
        Markup("javascript&#58;alert(1)"), Markup("java&Tab;script&colon;alert(1)"), "jAvAsCrIpT\r\n:x", "about:blank",
    ],
)  # fmt: skip
def test_e5_unsafe_addresses_are_no_links(url: str) -> None:
    assert safe_url(url) == "#"


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example/?q=a:b",
        "HTTP://x",
        "/a:b",
        "a/b:c",
        "?a:b",
        "#a:b",
        "mailto:a@b.c",
        "tel:+1",
        "//h/x",
        "",
        "x",
    ],
)
def test_safe_addresses_are_kept(url: str) -> None:
    assert safe_url(url) == url


@given(st.text(st.sampled_from("javscript: \t\n\x00\x0b/?#&;:JAVSCRIPT"), max_size=30))
def test_safe_url_never_gives_a_script(url: str) -> None:
    seen_by_browser = "".join(c for c in safe_url(url) if c not in "\t\n\r").strip("".join(map(chr, range(33))))
    assert not seen_by_browser.lower().startswith("javascript:")


SEEDS = [
    "<", "(", ".", ",", ";&", "9e9999", "<a", "<!--", "<!---->", "<>", "&lt;", ")", "a.", "a@", "www.", "http://a.",
    "-", "<b>x", "(a", "a)", "\n", " ", "-a", "&amp;", "xn--", "[", "http://[", "%", "'", "!?", "—",
]  # fmt: skip


@pytest.mark.parametrize("name", ["urlize", "truncate", "striptags", "wordwrap"])
@pytest.mark.parametrize("seed", SEEDS)
def test_e3_hostile_text_takes_linear_time(name: str, seed: str) -> None:
    template = ENV.from_string("{{ v|" + name + " }}")
    for text in (seed * (100_000 // len(seed)), seed * (100_000 // len(seed) - 1) + "a!"):
        begin = time.process_time()
        template.render(v=text)
        # Linear code needs milliseconds; quadratic code on 100,000 characters needs tens of seconds.
        assert time.process_time() - begin < 2.5


@pytest.mark.parametrize("name", ["urlize", "truncate", "striptags", "wordwrap"])
def test_e3_text_beyond_the_cap_is_still_escaped(name: str) -> None:
    out = ENV.from_string("{{ v|" + name + " }}").render(v="<b " * MAX_TEXT)
    assert "<" not in out


def test_truncate_keeps_no_more_than_the_cap() -> None:
    assert len(ENV.from_string("{{ v|truncate(10**9) }}").render(v="x" * (MAX_TEXT * 3))) == MAX_TEXT


@given(st.text(st.sampled_from("ab <>&.,()@:/whtp\nco1-"), max_size=60))
def test_filters_agree_with_stock_on_ordinary_text(text: str) -> None:
    for name in ("urlize", "truncate(20)", "wordwrap(10)", "wordwrap(10, false)"):
        source = "{{ v|" + name + " }}"
        assert ENV.from_string(source).render(v=text) == STOCK.from_string(source).render(v=text)


@pytest.mark.parametrize("text", ["a <b>bold</b>  text", "<!-- a --> x &lt; y", "1 < 2", "<p>one\n<p>two", "a > b"])
def test_striptags_agrees_with_stock(text: str) -> None:
    assert striptags(text) == Markup(text).striptags()


def test_urlize_links_and_escapes() -> None:
    out = ENV.from_string("{{ v|urlize(target='_blank') }}").render(v="see https://a.example/x?y=1&z=2 <b> " + "." * 99)
    assert '<a href="https://a.example/x?y=1&amp;z=2" rel="noopener" target="_blank">' in out
    assert "&lt;b&gt;" in out
    assert "javascript" not in ENV.from_string("{{ 'javascript:alert(1)'|urlize }}").render().replace(
        "javascript:alert(1)", "", 1
    )
