"""The examples, as a user runs them: in process, in a browser's and curl's words, and served by `quintet run`."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx2
import msgspec
import pytest

from quintet.cli.load import load_app
from quintet.testing import Client

EXAMPLES = Path(__file__).parents[2] / "examples"
#: A Friday in winter; Paris is at UTC+1 and Sydney at UTC+11.
NOW = datetime(2026, 1, 16, 12, 34, 56, tzinfo=UTC)
BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


class Frozen:
    def now(self) -> datetime:
        return NOW


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    app = load_app(str(EXAMPLES / "worldclock" / "app.py"))
    clock = sys.modules["app"].Clock
    with Client(app) as client, client.override(clock, Frozen):
        yield client


def test_hello_greets() -> None:
    with Client(load_app(str(EXAMPLES / "hello.py"))) as client:
        assert client.get("/hello/Ada?times=2").json() == {"message": "Hello, Ada, Ada"}
        assert client.get("/hello/Ada?times=x").status_code == 422


# -- finding zones -------------------------------------------------------------------------------------------------


def test_one_handler_answers_in_five_formats(client: Client) -> None:
    def get(accept: str) -> httpx2.Response:
        response = client.get("/zones?q=new york", headers={"accept": accept})
        assert response.headers["content-type"].startswith(accept)
        assert response.headers["vary"] == "accept"
        return response

    page = get("application/json").json()
    assert page["total"] == 1
    assert page["zones"][0]["local_time"] == "2026-01-16T07:34:56-05:00"
    (packed,) = msgspec.msgpack.decode(get("application/vnd.msgpack").content)["zones"]
    assert packed == page["zones"][0] | {"local_time": NOW}
    (row,) = csv.DictReader(get("text/csv").text.splitlines())
    assert row["city"] == "New York"
    assert row["utc_offset"] == "UTC-05:00"
    root = ElementTree.fromstring(get("application/xml").text)
    assert (root.tag, root.get("total"), root.findtext("zone/name")) == ("zones", "1", "America/New_York")
    assert "<strong>New York</strong>" in get("text/html").text


def test_browsers_get_pages(client: Client) -> None:
    for path in ("/", "/zones", "/zones/Asia/Kolkata", "/convert", "/live"):
        response = client.get(path, headers=BROWSER)
        assert response.status_code == 200, path
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert "<script>" not in response.text
        assert " style=" not in response.text
        for asset in re.findall(r'(?:src|href)="(/static/[^"]+)"', response.text):
            assert client.get(asset).status_code == 200


def test_zones_are_filtered_by_area_and_offset(client: Client) -> None:
    found = client.get("/zones", params={"area": "Asia", "utc": "5.5", "limit": 100}).json()["zones"]
    assert {"Asia/Kolkata", "Asia/Colombo"} <= {z["name"] for z in found}
    assert {(z["area"], z["utc_offset"]) for z in found} == {("Asia", "UTC+05:30")}


def test_an_empty_filter_of_the_form_is_none(client: Client) -> None:
    assert client.get("/zones?q=&area=&utc=").json() == client.get("/zones").json() | {
        "next": "/zones?limit=24&offset=24"
    }


def test_pages_lead_through_all_zones(client: Client) -> None:
    names: list[str] = []
    address: str | None = "/zones?area=Africa&limit=20"
    while address:
        page = client.get(address).json()
        names += [z["name"] for z in page["zones"]]
        address = page["next"]
    assert len(names) == len(set(names)) == page["total"]


def test_wrong_filters_are_named_together(client: Client) -> None:
    response = client.get("/zones?area=Moon&utc=5.1&limit=0")
    assert response.status_code == 422
    assert {tuple(e["loc"]): e["code"] for e in response.json()["errors"]} == {
        ("query", "area"): "literal",
        ("query", "utc"): "multiple_of",
        ("query", "limit"): "ge",
    }


# -- one zone ------------------------------------------------------------------------------------------------------


def test_a_zone_tells_its_next_change(client: Client) -> None:
    zone = client.get("/zones/Europe/Paris").json()
    assert zone["local_time"] == "2026-01-16T13:34:00+01:00"
    assert zone["is_dst"] is False
    assert zone["next_change"] == {"at": "2026-03-29T01:00:00Z", "utc_offset": "UTC+02:00"}
    assert client.get("/zones/Asia/Tokyo").json()["next_change"] is None


def test_a_zone_is_cached_for_the_rest_of_the_minute(client: Client) -> None:
    first = client.get("/zones/Europe/Paris")
    assert first.headers["cache-control"] == "public, max-age=4"
    again = {"if-none-match": first.headers["etag"]}
    assert client.get("/zones/Europe/Paris", headers=again).status_code == 304
    assert client.get("/zones/Europe/Paris", headers=again | BROWSER).status_code == 200


def test_an_unknown_zone_is_404_with_a_suggestion(client: Client) -> None:
    response = client.get("/zones/Europe/Pari")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert "did you mean 'Europe/Paris'?" in response.json()["detail"]
    page = client.get("/zones/Europe/Pari", headers=BROWSER)
    assert page.status_code == 404
    assert "No clock hangs here" in page.text


# -- converting ----------------------------------------------------------------------------------------------------

WANTED = {"when": "2026-07-14T20:30:00", "source": "Europe/Paris", "target": "Asia/Tokyo"}
#: Clocks in Paris skip 02:00 to 03:00 on 29 March and show it twice on 25 October.
SKIPPED = WANTED | {"when": "2026-03-29T02:30:00"}
TWICE = WANTED | {"when": "2026-10-25T02:30:00"}


@pytest.mark.parametrize("kind", ["json", "form", "multipart", "xml"])
def test_every_kind_of_body_is_converted(client: Client, kind: str) -> None:
    options: dict[str, Any] = {
        "json": {"json": WANTED},
        "form": {"data": WANTED},
        "multipart": {"data": WANTED, "files": []},
        "xml": {
            "content": "<conversion>" + "".join(f"<{k}>{v}</{k}>" for k, v in WANTED.items()) + "</conversion>",
            "headers": {"content-type": "application/xml"},
        },
    }
    response = client.post("/api/convert", **options[kind])
    assert response.status_code == 200
    converted = response.json()
    assert converted["target"]["local_time"] == "2026-07-15T03:30:00+09:00"
    assert converted["hours_ahead"] == 7


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        (SKIPPED, "when", "skipped_time"),
        (TWICE, "fold", "repeated_time"),
        (WANTED | {"source": "Mars/Base"}, "source", "zone"),
        (WANTED | {"when": "2150-01-01T00:00:00"}, "when", "lt"),
        (WANTED | {"when": "2026-01-01T00:00:00Z"}, "when", "datetime"),
        (WANTED | {"extra": "1"}, "extra", "unknown_field"),
    ],
)
def test_what_cannot_be_converted_names_its_field(client: Client, body: dict[str, str], field: str, code: str) -> None:
    for options in ({"json": body}, {"data": body}):
        response = client.post("/api/convert", **options)
        assert response.status_code == 422
        assert [(e["loc"], e["code"]) for e in response.json()["errors"]] == [(["body", field], code)]


@pytest.mark.parametrize(("fold", "hour"), [("first", "09:30"), ("second", "10:30")])
def test_of_a_repeated_time_either_is_chosen(client: Client, fold: str, hour: str) -> None:
    converted = client.post("/api/convert", json=TWICE | {"fold": fold}).json()
    assert converted["target"]["local_time"] == f"2026-10-25T{hour}:00+09:00"


def test_the_form_shows_the_result(client: Client) -> None:
    # A browser sends no seconds.
    response = client.post("/convert", data=WANTED | {"when": "2026-07-14T20:30"}, headers=BROWSER)
    assert response.status_code == 200
    assert "03:30 in Tokyo, on Wednesday 15 July" in response.text


def test_the_form_keeps_what_was_typed_and_says_what_is_wrong(client: Client) -> None:
    response = client.post("/convert", data=TWICE | {"target": '"><b>'}, headers=BROWSER)
    assert response.status_code == 422
    assert 'value="2026-10-25T02:30:00"' in response.text
    assert 'value="&#34;&gt;&lt;b&gt;"' in response.text
    assert 'id="target-error">There is no time zone' in response.text
    repeated = client.post("/convert", data=TWICE, headers=BROWSER)
    assert repeated.status_code == 422
    assert "Which of the two?" in repeated.text


def test_another_site_cannot_submit_the_form(client: Client) -> None:
    assert client.post("/convert", data=WANTED, headers={"sec-fetch-site": "cross-site"}).status_code == 403


# -- the whole -----------------------------------------------------------------------------------------------------


def test_every_address_is_documented_with_a_summary(client: Client) -> None:
    document = client.get("/openapi.json").json()
    operations = [o for path in document["paths"].values() for o in path.values()]
    assert len(operations) == 8
    assert all(o["summary"] and o["tags"] for o in operations)
    assert "text/event-stream" in document["paths"]["/live/events"]["get"]["responses"]["200"]["content"]


def test_watching_needs_zones_that_exist(client: Client) -> None:
    assert client.get("/live/events").status_code == 422
    assert client.get("/live/events?zones=Asia/Tokyo&zones=x").status_code == 404
    assert client.get("/live?zones=Asia/Tokyo&zones=", headers=BROWSER).text.count("data-zone") == 1


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of the world clock on the built-in server, and its process."""
    log = tmp_path / "log"
    command = [sys.executable, "-m", "quintet", "run", str(EXAMPLES / "worldclock" / "app.py"), "--port", "0"]
    with log.open("w") as output:
        process = subprocess.Popen(command, stderr=output, stdout=output, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 30
        while not (found := re.search(r"http://[\d.]+:\d+", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield found[0], process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def test_a_server_stops_at_once_while_clocks_are_watched(server: tuple[str, subprocess.Popen[bytes]]) -> None:
    address, process = server
    with httpx2.stream("GET", f"{address}/live/events?zones=Asia/Tokyo", timeout=10) as stream:
        lines = stream.iter_lines()
        next(lines)
        process.terminate()
        assert list(lines)[-1] == ""  # a whole event, and a tidy end
    assert process.wait(10) is not None


def test_a_real_server_serves_pages_and_a_live_stream(server: tuple[str, subprocess.Popen[bytes]]) -> None:
    with httpx2.Client(base_url=server[0], timeout=10) as client:
        page = client.get("/", headers=BROWSER)
        assert "What time is it there?" in page.text
        assert "server-timing" in page.headers
        with client.stream("GET", "/live/events", params={"zones": ["Asia/Tokyo", "Europe/Paris"]}) as stream:
            assert stream.headers["content-type"] == "text/event-stream"
            lines = (line for line in stream.iter_lines() if line)
            events = [(next(lines), msgspec.json.decode(next(lines).removeprefix("data: "))) for _ in range(3)]
        ids = [line.removeprefix("id: ") for line, _ in events]
        assert ids == sorted(set(ids))
        assert [z["name"] for z in events[0][1]] == ["Asia/Tokyo", "Europe/Paris"]
