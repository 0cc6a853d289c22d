"""The documentation page in a browser: it reads the document, sends requests, and refuses markup from it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quintet.testing.live import live_server
from tests.integration.browser import Browser, find_chromium
from tests.integration.openapi_app import app

ADD = "#op-add_item"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with live_server(app) as address:
        yield f"{address}/docs"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    executable = find_chromium()
    if executable is None:
        pytest.skip("there is no Chromium")
    browser = Browser(executable)
    yield browser
    browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Browser]:
    """A browser; what it refused or could not run fails the test."""
    chromium.open("about:blank")
    chromium.log.clear()
    yield chromium
    assert [line for line in chromium.log if "the server responded with a status of 4" not in line] == []


def field(page: Browser, selector: str, value: str) -> None:
    page.evaluate(f"document.querySelector({selector!r}).focus()")
    page.evaluate(f"document.querySelector({selector!r}).select?.()")
    page.type(value)


def send(page: Browser, card: str) -> str:
    page.evaluate(f"document.querySelector('{card} button.primary').click()")
    page.wait(f"document.querySelector('{card} .answer .status')")
    page.wait(f"!document.querySelector('{card} button.primary').disabled")
    return page.evaluate(f"document.querySelector('{card} .answer .status').textContent")


def answer(page: Browser, card: str) -> str:
    return page.evaluate(f"document.querySelector('{card} .answer .body').textContent")


def test_every_operation_is_listed(page: Browser, url: str):
    page.open(url, "document.querySelector('.operation')")
    count = len([c for c in app.compiled if c.route and c.route.options.get("include_in_schema", True)])
    assert page.evaluate("document.querySelectorAll('.operation').length") == count
    assert page.evaluate("document.querySelectorAll('.entry').length") == count


def test_e10_text_of_the_document_adds_no_markup(page: Browser, url: str):
    page.open(url, "document.querySelector('.operation')")
    assert page.evaluate("document.querySelector('h1').textContent").startswith("Warehouse </script><script>alert(1)")
    assert page.evaluate("document.title").startswith("Warehouse </script>")
    assert page.evaluate("document.scripts.length") == 1


def test_nothing_comes_from_another_host(page: Browser, url: str):
    page.open(url, "document.querySelector('.operation')")
    names = page.evaluate("performance.getEntriesByType('resource').map(e => e.name)")
    assert names
    assert all(name.startswith(url.removesuffix("/docs")) for name in names)


def test_a_json_body_can_be_sent(page: Browser, url: str):
    page.open(f"{url}{ADD}", f"document.querySelector('{ADD} form')")
    assert send(page, ADD) == "201 Created"
    assert '"name": "Lamp"' in answer(page, ADD)
    curl = page.evaluate(f"document.querySelector('{ADD} .curl').textContent")
    assert curl.startswith("curl -X POST")
    assert "Content-Type: application/json" in curl


def test_wrong_input_shows_its_errors(page: Browser, url: str):
    page.open(f"{url}{ADD}", f"document.querySelector('{ADD} form')")
    field(page, f"{ADD} textarea", '{"name": ""}')
    assert send(page, ADD) == "422 Unprocessable Content"
    assert "min_length" in answer(page, ADD)


def test_a_form_can_be_filled_in(page: Browser, url: str):
    page.open(f"{url}{ADD}", f"document.querySelector('{ADD} form')")
    page.evaluate(
        f"const s = document.querySelector('{ADD} h4 select'); s.value = 'application/x-www-form-urlencoded';"
        "s.dispatchEvent(new Event('change'))"
    )
    field(page, f"{ADD} input[id$='form-name']", "Ünïcode & more")
    assert send(page, ADD) == "201 Created"
    assert "Ünïcode & more" in answer(page, ADD)


def test_parameters_of_every_kind_can_be_sent(page: Browser, url: str):
    card = "#op-search"
    page.open(f"{url}{card}", f"document.querySelector('{card} form')")
    field(page, f"{card} input[id$='path-rest']", "a b/ü?#")
    field(page, f"{card} textarea[id$='query-ids']", "1\n2")
    assert send(page, card) == "200 OK"
    assert '"rest": "a b/ü?#"' in answer(page, card)
    assert "2" in answer(page, card)


def test_credentials_are_sent(page: Browser, url: str):
    card = "#op-me"
    page.open(f"{url}{card}", f"document.querySelector('{card} form')")
    assert send(page, card).startswith("401")
    page.evaluate("document.querySelector('.credentials').open = true")
    field(page, "[data-secret='HTTPBearer.token']", "good token")
    assert send(page, card) == "200 OK"


def test_a_stream_is_shown(page: Browser, url: str):
    card = "#op-events"
    page.open(f"{url}{card}", f"document.querySelector('{card} form')")
    assert send(page, card) == "200 OK"
    assert 'data: {"width":3,"height":3}' in answer(page, card)


def test_the_keyboard_is_enough(page: Browser, url: str):
    page.open(url, "document.querySelector('.operation')")
    page.press("/", "/")
    page.type("add item")
    page.wait("document.querySelectorAll('.operation:not([hidden])').length === 1")
    page.press("Tab")
    page.press("Enter")
    page.wait(f"location.hash === '{ADD}' && document.querySelector('{ADD}').open")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_it_fits_a_telephone(page: Browser, url: str):
    page.resize(390, 800)
    try:
        page.open(f"{url}{ADD}", f"document.querySelector('{ADD} form')")
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    finally:
        page.call("Emulation.clearDeviceMetricsOverride")
