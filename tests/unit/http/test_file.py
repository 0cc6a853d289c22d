"""Files as answers: whole, in parts, unchanged, gone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from quintet import App, File
from quintet.errors import NotFound
from quintet.http.file import CHUNK
from quintet.testing import Client

CONTENT = bytes(range(256)) * (CHUNK // 256) + b"tail"  # more than one chunk


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(CONTENT)
    return path


def get(path: Path, method: str = "GET", headers: dict[str, str] | None = None, **options: Any) -> Any:
    app = App(docs=False)

    @app.get("/")
    async def handler() -> File:
        return File(path, **options)

    with Client(app) as client:
        return client.request(method, "/", headers=headers)


def test_a_file_is_sent_whole(large: Path) -> None:
    response = get(large)
    assert response.content == CONTENT
    assert response.headers["content-length"] == str(len(CONTENT))
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["etag"].startswith('"')
    assert "last-modified" in response.headers


def test_head_has_the_length_and_no_content(large: Path) -> None:
    response = get(large, "HEAD")
    assert (response.content, response.headers["content-length"]) == (b"", str(len(CONTENT)))


@pytest.mark.parametrize(
    ("range_", "start", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=10-", 10, None),
        ("bytes=-4", -4, None),
        (f"bytes={CHUNK - 2}-{CHUNK + 1}", CHUNK - 2, CHUNK + 2),
        ("bytes=5-99999999999", 5, None),
    ],
)
def test_a_part_is_sent(large: Path, range_: str, start: int, end: int | None) -> None:
    response = get(large, headers={"range": range_})
    expected = CONTENT[start:end]
    first = start % len(CONTENT)
    assert response.status_code == 206
    assert response.content == expected
    assert response.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{len(CONTENT)}"
    assert response.headers["content-length"] == str(len(expected))


def test_several_parts_are_sent_together(large: Path) -> None:
    response = get(large, headers={"range": "bytes=0-3,-4"})
    assert response.status_code == 206
    kind, _, boundary = response.headers["content-type"].partition("; boundary=")
    assert kind == "multipart/byteranges"
    parts = response.content.split(f"--{boundary}".encode())
    bodies = [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in parts[1:-1]]
    assert bodies == [CONTENT[:4], CONTENT[-4:]]
    assert response.headers["content-length"] == str(len(response.content))


def test_a_part_that_is_not_there_is_a_416(large: Path) -> None:
    response = get(large, headers={"range": f"bytes={len(CONTENT)}-"})
    assert response.status_code == 416
    assert response.headers["content-range"] == f"bytes */{len(CONTENT)}"


@pytest.mark.parametrize("range_", ["bytes=", "bytes=a-b", "lines=1-2", "bytes=5-2", "0-9"])
def test_a_range_that_is_none_is_ignored(large: Path, range_: str) -> None:
    assert get(large, headers={"range": range_}).status_code == 200


def test_an_unchanged_file_is_not_sent_again(large: Path) -> None:
    first = get(large)
    etag, modified = first.headers["etag"], first.headers["last-modified"]
    for headers in ({"if-none-match": etag}, {"if-modified-since": modified}):
        response = get(large, headers=headers)
        assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", etag)
    assert get(large, headers={"if-match": '"other"'}).status_code == 412
    assert get(large, headers={"range": "bytes=0-1", "if-range": etag}).status_code == 206
    assert get(large, headers={"range": "bytes=0-1", "if-range": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("name", "options", "media_type", "disposition"),
    [
        ("a.txt", {}, "text/plain; charset=utf-8", None),
        ("a.js", {}, "text/javascript; charset=utf-8", None),
        ("a.tar.gz", {}, "application/octet-stream", None),
        ("a.html", {}, "text/html; charset=utf-8", "attachment"),
        ("a.html", {"inline": True}, "text/html; charset=utf-8", None),
        ("a.svg", {}, "image/svg+xml", "attachment"),
        ("a.pdf", {"filename": "bill.pdf"}, "application/pdf", "attachment"),
        ("a.pdf", {"filename": "bill.pdf", "inline": True}, "application/pdf", "inline"),
        ("a.bin", {"media_type": "image/webp"}, "image/webp", None),
    ],
)
def test_types_and_names(
    tmp_path: Path, name: str, options: dict[str, Any], media_type: str, disposition: str | None
) -> None:
    path = tmp_path / name
    path.write_text("x")
    response = get(path, **options)
    assert response.headers["content-type"] == media_type
    assert response.headers.get("content-disposition", "").partition(";")[0] == (disposition or "")


def test_a_name_is_written_so_that_every_browser_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_text("x")
    value = get(path, filename='naïve "x".bin').headers["content-disposition"]
    assert "filename*=UTF-8''na%C3%AFve%20%22x%22.bin" in value


def test_an_empty_file_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    response = get(path)
    assert (response.status_code, response.content, response.headers["content-length"]) == (200, b"", "0")


def test_what_is_no_file_is_not_found(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "pipe"):
        with pytest.raises(NotFound):
            File(path)
        assert get(path).status_code == 404
