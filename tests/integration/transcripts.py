"""Transcripts in the documentation: blocks of requests and answers, held against the app they speak of.

A block of the language `http` is a request, an empty line, and an answer that begins with `HTTP/1.1`. It is sent to the
app of the example that was included before it on the page. Of the answer, the status, the listed header fields and the
body are compared; JSON by value, and `…` stands for any text. With `UPDATE_DOCS=1` in the environment the answers are
written anew.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from quintet.app import Application
from quintet.errors import status_phrase
from quintet.testing import Client

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
UPDATE = bool(os.environ.get("UPDATE_DOCS"))

_PART = re.compile(
    r'--8<-- "(?P<file>examples/docs/[\w/]+)\.py|^(?P<indent> *)```http\n(?P<block>.*?)^ *```$',
    re.MULTILINE | re.DOTALL,
)
_WIDTH = 80
#: What is another one each time.
_CHANGING = re.compile(r'(?<="request_id":")[^"]+')


class Answer(msgspec.Struct):
    """An answer, as it is written down."""

    status: int
    headers: dict[str, str]
    body: str


class Block(msgspec.Struct):
    """One block: what is asked, and what should come back."""

    method: str
    target: str
    headers: dict[str, str]
    body: str
    answer: Answer | None


def pages() -> list[Path]:
    """Return the pages that have transcripts; test_docs_helpdesk.py has those of its tutorial."""
    return sorted(p for p in DOCS.rglob("*.md") if "```http\n" in p.read_text() and p.parent.name != "helpdesk")


def fresh_app(name: str) -> Application | None:
    """Import an example as if for the first time, and return its app."""
    for known in [m for m in sys.modules if m.startswith("examples.docs.")]:
        del sys.modules[known]
    if name.rpartition(".")[2].startswith("test_"):
        return None
    app = getattr(importlib.import_module(name), "app", None)
    return app if isinstance(app, Application) else None


def check_page(page: Path) -> list[str]:
    """Run every block of a page; return what differs. With `UPDATE_DOCS` rewrite the page instead."""
    text = page.read_text()
    differences: list[str] = []
    with ExitStack() as stack:
        blocks = list(_blocks(text, stack))
        pieces: list[str] = []
        end = 0
        for match, client in blocks:
            indent = match["indent"]
            block = parse(re.sub(f"^{indent}", "", match["block"], flags=re.MULTILINE))
            found = send(client, block)
            if UPDATE:
                if client is None:
                    continue
                shown = re.sub("^(?=.)", indent, write(match["block"], indent, block, found), flags=re.MULTILINE)
                pieces += [text[end : match.start("block")], shown]
                end = match.end("block")
            elif not agree(block, found):
                line = text.count("\n", 0, match.start()) + 1
                differences.append(f"{page.relative_to(ROOT)}:{line}: {block.method} {block.target}\n{_show(found)}")
    if UPDATE:
        page.write_text("".join(pieces) + text[end:])
    return differences


def _blocks(text: str, stack: ExitStack) -> Iterator[tuple[re.Match[str], Client]]:
    client: Client | None = None
    clients: dict[str, Client | None] = {}
    for match in _PART.finditer(text):
        if match["file"]:
            name = match["file"].replace("/", ".")
            if name not in clients:
                app = fresh_app(name)
                clients[name] = None if app is None else stack.enter_context(_client(app))
            client = clients[name] or client
        else:
            assert client is not None, "a transcript stands before any example"
            yield match, client


def _client(app: Application) -> Client:
    return Client(app, raise_server_exceptions=False, timeout=20)


def parse(text: str) -> Block:
    """Read a block."""
    asked, mark, answered = text.partition("HTTP/1.1 ")
    head, _, body = asked.partition("\n\n")
    first, *lines = head.strip().splitlines()
    method, _, target = first.partition(" ")
    answer: Answer | None = None
    if mark:
        status, _, rest = answered.partition("\n")
        answer_head, _, answer_body = rest.partition("\n\n") if not rest.startswith("\n") else ("", "", rest[1:])
        code = status.split()[0]
        answer = Answer(int(code) if code.isdigit() else 0, _fields(answer_head.splitlines()), answer_body.strip())
    return Block(method, target, _fields(lines), body.strip("\n"), answer)


def _fields(lines: list[str]) -> dict[str, str]:
    return {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines if line.strip())
    }


def send(client: Client, block: Block) -> Any:
    """Send what a block asks."""
    body = block.body
    if "multipart/" in block.headers.get("content-type", ""):
        body = body.replace("\n", "\r\n") + "\r\n"
    client.cookies.clear()
    request = client.build_request(block.method, block.target, headers=block.headers, content=body.encode() or None)
    return client.send(request)


def agree(block: Block, found: Any) -> bool:
    """Tell whether an answer is the one that is written down."""
    expected = block.answer
    if expected is None or found.status_code != expected.status:
        return False
    return all(_like(value, found.headers.get(name, "")) for name, value in expected.headers.items()) and _same_body(
        expected.body, found.text.replace("\r\n", "\n").strip()
    )


def _same_body(expected: str, found: str) -> bool:
    try:
        return _same_value(json.loads(expected), json.loads(found))
    except ValueError:
        return _like(expected, found)


def _same_value(expected: Any, found: Any) -> bool:
    if isinstance(expected, str):
        return (isinstance(found, str) and _like(expected, found)) or expected == "…"
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(map(_same_value, expected, found))
    if isinstance(expected, dict) and isinstance(found, dict):
        return expected.keys() == found.keys() and all(_same_value(v, found[k]) for k, v in expected.items())
    return expected == found


def _like(expected: str, found: str) -> bool:
    return re.fullmatch(".*?".join(map(re.escape, expected.split("…"))), found, re.DOTALL) is not None


def write(text: str, indent: str, block: Block, found: Any) -> str:
    """Return the block with the answer that came."""
    if block.answer is not None and agree(block, found):
        return re.sub(f"^{indent}", "", text, flags=re.MULTILINE)
    asked = re.sub(f"^{indent}", "", text, flags=re.MULTILINE).partition("HTTP/1.1 ")[0].rstrip("\n")
    return f"{asked}\n\n{_show(found, list(block.answer.headers) if block.answer else ['content-type'])}\n"


def _show(found: Any, names: list[str] | None = None) -> str:
    lines = [f"HTTP/1.1 {found.status_code} {status_phrase(found.status_code)}"]
    lines += [f"{name}: {found.headers[name]}" for name in names or ["content-type"] if name in found.headers]
    body = _CHANGING.sub("…", found.text.replace("\r\n", "\n").strip())
    try:
        body = compact(json.loads(body))
    except ValueError:
        pass
    return "\n".join(lines) + (f"\n\n{body}" if body else "")


def compact(value: Any, indent: int = 0, before: int = 0) -> str:
    """Return JSON in lines that fit, as people would break them."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + indent + before <= _WIDTH or not isinstance(value, (list, dict)) or not value:
        return flat
    pad = " " * (indent + 2)
    if isinstance(value, list):
        inner = [compact(v, indent + 2) for v in value]
    else:
        inner = [f"{json.dumps(k)}: {compact(v, indent + 2, len(k) + 4)}" for k, v in value.items()]
    left, right = "[]" if isinstance(value, list) else "{}"
    return f"{left}\n" + ",\n".join(pad + line for line in inner) + f"\n{' ' * indent}{right}"
