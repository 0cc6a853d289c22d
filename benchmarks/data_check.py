"""Checks that a server of the data benchmark answers what its databases hold, to the last field."""

from __future__ import annotations

import html
import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jinja2
from contract import FORTUNES, TEMPLATES
from data_contract import ADDED, BOOKS
from data_tables import ROWS
from psycopg import Connection
from run import Server

TITLE = "A note & its text"
NOTE = json.dumps({"title": TITLE}).encode()


@dataclass
class Client:
    """Asks a server for one row of the benchmark."""

    server: Server
    method: str
    path: str
    postgres: Connection[tuple[Any, ...]]

    def ask(self, body: bytes = b"", query: str = "") -> tuple[int, str, bytes]:
        """Return the status, the type and the body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            connection.request(self.method, self.path + query, body or None, headers)
            response = connection.getresponse()
            return response.status, response.getheader("content-type", ""), response.read()
        except OSError as exc:
            raise SystemExit(f"{self.server.name}, {self.method} {self.path}: no answer: {exc}") from None
        finally:
            connection.close()

    def json(self, body: bytes = b"", query: str = "") -> Any:
        """Return what an answer in JSON holds."""
        status, media, content = self.ask(body, query)
        self.same("status", 200, status)
        self.same("type", "application/json", media.partition(";")[0])
        return json.loads(content)

    def refuses(self, body: bytes = b"", query: str = "") -> None:
        """Stop where something wrong is not refused."""
        status = self.ask(body, query)[0]
        self.same(f"{body or query!r} is refused", True, 400 <= status < 500)

    def same(self, what: str, expected: object, found: object) -> None:
        """Stop where something is not as expected."""
        if found != expected:
            name = f"{self.server.name}, {self.method} {self.path}"
            raise SystemExit(f"{name}: {what}: expected {expected!r:.500}, found {found!r:.500}")

    def numbers(self) -> dict[int, int]:
        """Return the numbers that the worlds have now."""
        return dict(self.postgres.execute("SELECT id, random_number FROM world").fetchall())  # pyright: ignore[reportArgumentType] - two columns

    def are_worlds(self, found: list[dict[str, int]], numbers: dict[int, int]) -> None:
        """Stop where worlds are not those of the database."""
        self.same("rows", [{"id": row["id"], "random_number": numbers[row["id"]]} for row in found], found)


def check_key(client: Client) -> None:
    found = [client.json() for _ in range(5)]
    client.are_worlds(found, client.numbers())
    client.same("the keys differ", True, len({row["id"] for row in found}) > 1)


def check_sqlite(client: Client) -> None:
    client.are_worlds([client.json() for _ in range(5)], dict(ROWS["world"]))  # pyright: ignore[reportArgumentType] - two columns


def check_queries(client: Client) -> None:
    for count in (1, 20):
        found = client.json(query=f"?n={count}")
        client.same("number of rows", count, len({row["id"] for row in found}))
        client.are_worlds(found, client.numbers())
    for wrong in ("0", "501", "many"):
        client.refuses(query=f"?n={wrong}")


def check_updates(client: Client) -> None:
    before = client.numbers()
    check_queries(client)
    found = client.json(query="?n=100")
    after = client.numbers()
    client.are_worlds(found, after)
    kept = sum(before[row["id"]] == row["random_number"] for row in found)
    client.same("the numbers are new", True, kept < 3)  # one in ten thousand is what it was
    client.same("other rows are kept", True, sum(after[key] != before[key] for key in before) <= 121)


def check_fortunes(client: Client) -> None:
    status, media, content = client.ask()
    client.same("status and type", (200, "text/html; charset=utf-8"), (status, media))
    text = content.decode().strip()
    client.same("the script is escaped", False, "<script>" in text)
    template = jinja2.Template((TEMPLATES / "fortunes.html").read_text())
    expected = template.render(fortunes=sorted([*FORTUNES, ADDED], key=lambda fortune: fortune.message))
    client.same("page", expected, html.unescape(text))


def check_books(client: Client) -> None:
    authors: dict[int, str] = dict(ROWS["author"])  # pyright: ignore[reportArgumentType] - two columns
    expected = [
        {"id": key, "title": title, "pages": pages, "author": {"id": author, "name": authors[author]}}
        for key, title, pages, author in ROWS["book"][:BOOKS]
    ]
    client.same("books", expected, client.json())


def check_notes(client: Client) -> None:
    found = [client.json(NOTE) for _ in range(2)]
    client.same("different keys", True, found[0]["id"] < found[1]["id"])
    for note in found:
        client.same("note", {"id": note["id"], "title": TITLE}, note)
        stored = client.postgres.execute("SELECT title FROM note WHERE id = %s", (note["id"],)).fetchone()
        client.same("what is stored", (TITLE,), stored)
    for wrong in (b"{", b'{"title": ""}', b'{"title": "%b"}' % (b"x" * 51), b"{}", b'{"title": 1}'):
        client.refuses(wrong)


#: What is checked of a row of the benchmark.
Check = Callable[[Client], None]
