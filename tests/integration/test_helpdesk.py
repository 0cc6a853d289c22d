"""The helpdesk, as a team runs it: migrated, seeded and served, on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.integration.command import Command
from tests.integration.own_database import KINDS, own_database

APP = Path(__file__).parents[2] / "examples" / "helpdesk" / "app.py"
BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


COMMANDS = """
import sys
from quintet.cli.main import main
for command in sys.argv[1:]:
    main(command.split(), standalone_mode=False)
"""


class Desk:
    """A helpdesk that runs: its client, and its commands."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder, self.env = folder, env
        self.client: httpx2.Client = httpx2.Client()

    def db(self, *commands: str) -> str:
        """Run commands of `quintet db`, all in one process."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("QUINTET_", "DATABASE_"))}
        command = [sys.executable, "-c", COMMANDS, *(f"db --app {APP} {command}" for command in commands)]
        done = subprocess.run(
            command, cwd=self.folder, env=clean | self.env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def page(self, path: str, status: int = 200) -> str:
        answer = self.client.get(path, headers=BROWSER)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        return answer.text

    def submit(self, path: str, status: int, data: dict[str, Any], files: Any = None) -> httpx2.Response:
        answer = self.client.post(path, data=data, files=files, headers=BROWSER)
        assert answer.status_code == status, answer.text
        return answer

    def open_ticket(self, subject: str = "Printer on fire", **more: Any) -> int:
        """Open a ticket by the form; return its number."""
        email = f"{subject.lower().replace(' ', '.')}@example.org"
        data = {"name": "Zelda", "email": email, "subject": subject, "text": "Smoke!", "priority": "high"}
        answer = self.submit("/tickets/new", 303, data, **more)
        return int(answer.headers["location"].rpartition("/")[2])


@pytest.fixture(scope="module", params=KINDS)
def desk(
    request: pytest.FixtureRequest,
    require_service: Callable[[str], tuple[str, int]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    with own_database(request.param, require_service, folder) as url:
        desk = Desk(folder, {"DATABASE_URL": url, "HELPDESK_UPLOADS": str(folder / "uploads")})
        done = desk.db("upgrade", "seed", "seed")  # the second time there is nothing to do
        assert done.count("upgrade ") == 2
        with Command("run", str(APP), folder=folder, env=desk.env) as server:
            desk.client = server.client
            yield desk
        assert "Traceback" not in server.log
        done = desk.db("downgrade base", "upgrade", "check")
        assert re.sub(r"[0-9a-f]{8} .*", "…", done) == (
            "downgrade …\ndowngrade …\nupgrade …\nupgrade …\nmodels, revisions and database agree\n"
        )


def test_tickets_are_listed_filtered_and_in_pages(desk: Desk) -> None:
    everything = desk.page("/tickets?tag=billing")
    total = int(re.search(r"(\d+) tickets", everything)[1])  # type: ignore[index]
    assert 24 < total < 300
    assert everything.count('<td class="subject">') == 24
    assert f"Page 1 of {-(-total // 24)}" in everything
    assert 'rel="next" href="/tickets?tag=billing&amp;page=2"' in everything
    closed = desk.page("/tickets?status=closed&priority=urgent&agent=2&q=&tag=")
    assert set(re.findall(r'class="status (\w+)"', closed)) == {"closed"}
    assert set(re.findall(r'class="priority (\w+)"', closed)) == {"urgent"}
    assert "No ticket fits" in desk.page("/tickets?q=%25%27%22%3B--")
    assert "Expected one of" in desk.page("/tickets?status=lost", 422)


def test_the_same_rows_are_seeded_each_time(desk: Desk) -> None:
    page = desk.page("/tickets/1")
    assert "<h1>Export stops at 10,000 rows</h1>" in page
    rows = list(csv.DictReader(desk.client.get("/tickets/export.csv").text.splitlines()))
    assert len([row for row in rows if int(row["id"]) <= 1000]) == 1000


def test_the_export_holds_what_the_list_shows(desk: Desk) -> None:
    answer = desk.client.get("/tickets/export.csv", params={"status": "waiting", "q": "invoice"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(answer.text.splitlines()))
    assert rows
    assert {row["status"] for row in rows} == {"waiting"}
    assert all("invoice" in row["subject"].lower() for row in rows)
    assert f"{len(rows)} ticket" in desk.page("/tickets?status=waiting&q=invoice")


def test_a_wrong_form_keeps_what_was_typed(desk: Desk) -> None:
    page = desk.submit("/tickets/new", 422, {"name": '"><b>', "email": "nobody", "subject": "Hi", "text": ""}).text
    assert "3 fields need your attention" in page
    assert 'value="&#34;&gt;&lt;b&gt;"' in page
    assert 'id="email-error">' in page


def test_a_conversation_moves_its_ticket(desk: Desk) -> None:
    number = desk.open_ticket()
    page = desk.page(f"/tickets/{number}")
    assert 'class="status open"' in page
    assert "Smoke!" in page
    desk.submit(f"/tickets/{number}", 303, {"text": "Water is <on> its way.\nStay calm.", "agent": "2"})
    page = desk.page(f"/tickets/{number}")
    assert 'class="status waiting"' in page
    assert "Water is &lt;on&gt; its way." in page
    desk.submit(f"/tickets/{number}", 303, {"text": "Still burning", "agent": ""})
    assert 'class="status open"' in desk.page(f"/tickets/{number}")
    assert "At least 1 character" in desk.submit(f"/tickets/{number}", 422, {"text": "", "agent": "2"}).text
    assert "There is no such row" in desk.submit(f"/tickets/{number}", 422, {"text": "x", "agent": "9999"}).text
    assert desk.page(f"/tickets/{number}").count('<li class="message') == 3


def test_who_changes_what_another_has_changed_is_told(desk: Desk) -> None:
    number = desk.open_ticket("Two at once")
    version = re.search(r'name="version" value="(\d+)"', desk.page(f"/tickets/{number}"))[1]  # type: ignore[index]
    change = {"version": version, "status": "closed", "priority": "low", "agent": "1", "tags": ["1", "2"]}
    desk.submit(f"/tickets/{number}/change", 303, change)
    page = desk.page(f"/tickets/{number}")
    assert "<br>Closed <time" in page
    assert page.count('class="tag"') == 2
    late = desk.submit(f"/tickets/{number}/change", 409, change | {"status": "open"})
    assert "Somebody has changed this ticket meanwhile" in late.text
    assert 'class="status closed"' in desk.page(f"/tickets/{number}")


def test_attachments_come_back_as_they_were_and_run_nowhere(desk: Desk) -> None:
    content = b"<script>alert(1)</script>"
    number = desk.open_ticket("See attachment", files={"files": ("../evil.html", content, "text/html")})
    page = desk.page(f"/tickets/{number}")
    address = re.search(r'href="(/tickets/\d+/files/\d+)" download>evil.html<', page)[1]  # type: ignore[index]
    answer = desk.client.get(address)
    assert answer.content == content
    assert answer.headers["content-disposition"] == 'attachment; filename="evil.html"'
    assert desk.client.get(address.replace(f"/{number}/", "/1/")).status_code == 404
    too_large = {"files": ("big", b"x" * 10_000_001, "text/plain")}
    desk.submit(f"/tickets/{number}", 413, {"text": "x"}, files=too_large)


def test_customers_are_found_with_their_tickets(desk: Desk) -> None:
    assert "Page 1 of" in desk.page("/customers")
    number = desk.open_ticket("Of a new customer")
    address = re.search(r'href="(/customers/\d+)">Zelda<', desk.page(f"/tickets/{number}"))[1]  # type: ignore[index]
    page = desk.page(address)
    assert "1 ticket<" in page
    assert "Of a new customer" in page
    assert desk.client.get("/customers/999999").status_code == 404


def test_programs_have_an_api(desk: Desk) -> None:
    client = desk.client
    first = client.get("/api/tickets", params={"status": "closed", "size": 50}).json()
    second = client.get("/api/tickets", params={"status": "closed", "size": 50, "cursor": first["next"]}).json()
    numbers = [row["id"] for row in first["items"] + second["items"]]
    assert len(set(numbers)) == 100
    assert numbers == sorted(numbers, reverse=True)
    made = client.post("/api/tickets", json={"subject": "By a program", "customer_id": 1})
    assert made.status_code == 201
    address = made.headers["location"]
    changed = client.patch(address, json={"priority": "urgent"}, headers={"if-match": made.headers["etag"]})
    assert (changed.status_code, changed.json()["priority"]) == (200, "urgent")
    late = client.patch(address, json={"priority": "low"}, headers={"if-match": made.headers["etag"]})
    assert late.status_code == 412
    said = client.post(f"{address}/messages", json={"text": "We are on it.", "agent_id": 1})
    assert said.status_code == 201
    conversation = client.get(f"{address}/messages").json()
    assert conversation["status"] == "waiting"
    assert [m["text"] for m in conversation["messages"]] == ["We are on it."]
    assert client.put(f"{address}/status", params={"status": "closed"}).json()["closed_at"] is not None


def test_the_api_names_what_is_wrong(desk: Desk) -> None:
    def wrong(answer: httpx2.Response, status: int = 422) -> list[list[str]]:
        assert answer.status_code == status, answer.text
        return [error["loc"] for error in answer.json()["errors"]]

    client = desk.client
    assert wrong(client.post("/api/tickets", json={"subject": "Lost", "customer_id": 10**6})) == [
        ["body", "customer_id"]
    ]
    assert wrong(client.post("/api/tickets", json={"subject": "x", "status": "closed"})) == [
        ["body", "subject"],
        ["body", "customer_id"],
        ["body", "status"],
    ]
    customer = client.get("/api/customers/1").json()
    taken = client.post("/api/customers", json={"name": "Copy", "email": customer["email"]})
    assert wrong(taken, 409) == [["body", "email"]]
    assert wrong(client.get("/api/tickets?colour=red")) == [["query", "colour"]]
    assert client.delete("/api/customers/1").status_code == 409  # tickets refer to it


def test_agents_and_tags_have_the_pages_of_their_resources(desk: Desk) -> None:
    page = desk.page("/api/tags")
    assert 'href="/static/style.css"' in page  # in the app's layout
    assert ">billing<" in page
    desk.submit("/api/tags/new", 303, {"name": "printer"})
    assert ">printer<" in desk.page("/api/tags")
    assert "does not have the expected form" in desk.submit("/api/tags/new", 422, {"name": "Über"}).text
    assert "taken already" in desk.submit("/api/tags/new", 422, {"name": "printer"}).text
    assert "Ingrid Berg" in desk.page("/api/agents/1")


def test_every_address_is_documented(desk: Desk) -> None:
    paths = desk.client.get("/openapi.json").json()["paths"]
    assert {"/tickets", "/api/tickets/{id}", "/api/tickets/{number}/messages", "/tickets/export.csv"} <= paths.keys()
    assert all(o["summary"] and o["tags"] for path in paths.values() for o in path.values())
