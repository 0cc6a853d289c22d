"""Rows C1 to C18 of the security table: paths, routing, files."""

# ruff: noqa: E501, RUF001 - tables of cases
from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from quintet.errors import NotFound
from quintet.http.disposition import content_disposition
from quintet.http.paths import safe_join
from quintet.http.upload import Upload
from tests.integration.security.wire import Server, head

OUTSIDE = [
    "..%2f..%2fetc/passwd", "%2e%2e/%2e%2e/etc/passwd", "..%5c..%5cetc/passwd", "%252e%252e/etc/passwd", "/etc/passwd",
    "../../etc/passwd", "../../../../../../../../etc/passwd", "%2fetc/passwd", "....//....//etc/passwd", "..;/etc/passwd",
    "folder/../../app.txt", "folder/%2e%2e/page.txt", "./page.txt", "folder//inside.txt", "page.txt/", "page.txt/.", "..",
    "%2e", ".", "C:/x", "page.txt::$DATA", "page.txt%20", "page.txt.", "\\page.txt", "folder%5cinside.txt", "~root", "%u002e%u002e/x",
    "page.txt?/../../etc/passwd#", "..%c0%af..%c0%afetc/passwd", "..%ef%bc%8fetc/passwd", "%e2%80%ae", "page.txt%00.png",
]  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE)
def test_C1_outside_of_the_static_folder(server: Server, path: str) -> None:
    answer = server.get("/static/" + path)
    if path.startswith("page.txt?"):
        assert answer.status in (200, 400)
        return
    assert answer.status in (404, 400), answer
    assert b"root:" not in answer.body


def test_C1_a_file_outside_and_none_at_all_are_told_alike(server: Server) -> None:
    def told(path: str) -> dict[str, str]:
        document = server.get(path).json()
        return {k: v for k, v in document.items() if k != "instance"}

    missing = told("/static/no-such-file")
    for path in (
        "/static/..%2f..%2fetc/passwd",
        "/static/..%2fno-such-file",
        "/static/link.txt",
        "/static/.env",
        "/static/folder",
    ):
        assert told(path) == missing


def test_C1_raw_dots_before_the_folder(server: Server) -> None:
    for path in (
        "/static/../../etc/passwd",
        "/static/../static/page.txt",
        "/../static/page.txt",
        "/./static/page.txt",
        "//static/page.txt",
    ):
        assert server.get(path).status == 404, path


def test_C2_a_sibling_with_the_same_beginning(server: Server) -> None:
    for path in ("..%2fstatic_secret/x", "../static_secret/x", "_secret/x", "%2e%2e/static_secret/x"):
        assert server.get("/static/" + path).status == 404
    assert server.get("/static_secret/x").status == 404


def test_C3_links_that_lead_outside(server: Server) -> None:
    for path in ("link.txt", "folder-link/x", "page.txt.gz"):
        assert server.get("/static/" + path).status == 404
    answer = server.get("/static/page.txt", ("Accept-Encoding", "gzip, br"))
    assert (answer.status, answer.body) == (200, b"0123456789" * 10)
    assert answer.header("content-encoding") is None


def test_C4_dotfiles_and_folders(server: Server) -> None:
    for path in (".env", ".git/config", ".git", ".git/", "folder", "folder/", "", ".", "folder/.."):
        assert server.get("/static/" + path).status == 404, path


@pytest.mark.parametrize(
    "name",
    ["CON", "con", "NUL.txt", "a/AUX", "com1", "COM¹", "LPT9.x", "prn .txt", "conin$", "a:b", "C:", "a\\b", "a.", "a "],
)
def test_C5_names_of_windows(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFound):
        safe_join(tmp_path, name)


@pytest.mark.parametrize(
    ("value", "status", "length"),
    [
        ("bytes=0-9", 206, 10), ("bytes=90-", 206, 10), ("bytes=-10", 206, 10), ("bytes=-999999999999", 206, 100),
        ("bytes=0-999999999999", 206, 100), ("bytes=100-", 416, None), ("bytes=999-", 416, None), ("bytes=5-1", 200, 100),
        ("bytes=\u0660-\u0661", 200, 100), ("bytes=a-b", 200, 100), ("bytes=", 200, 100), ("bytes=-", 200, 100), ("bytes=--1", 200, 100),
        ("lines=0-1", 200, 100), ("bytes 0-1", 200, 100), ("bytes=0-1;1-2", 200, 100), ("bytes=-0", 416, None),
        ("bytes=" + "0-0," * 10_000 + "0-0", 200, 100), ("bytes=0-" + "9" * 5000, 200, 100), ("bytes=0-0,0-0,0-0", 206, 1),
        ("bytes=+0-1", 200, 100), ("bytes=0-1,", 200, 100), ("bytes=0x0-1", 200, 100),
    ],
)  # fmt: skip
def test_C6_ranges(server: Server, value: str, status: int, length: int | None) -> None:
    answer = server.get("/static/page.txt", ("Range", value.encode()))
    assert answer.status == status, answer
    if length is not None:
        assert len(answer.body) == length
    if status == 416:
        assert answer.header("content-range") == "bytes */100"


def test_C6_many_ranges_cost_little(server: Server) -> None:
    server.check_linear(lambda n: server.get("/static/big.bin", ("Range", "bytes=" + ",".join(["0-"] * n))), 800)
    before = server.probe()["rss"]
    value = "bytes=" + ",".join(f"{i}-" for i in range(10))
    assert server.cost(lambda: server.get("/static/big.bin", ("Range", value))) < 0.2
    assert server.probe()["rss"] - before < 20e6


@pytest.mark.parametrize(
    "path",
    ["/%2Fevil.com/..", "//evil.com/%2e%2e", "/\\evil.com/", "//evil.com/", "//evil.com", "/%5Cevil.com/", "/%5cevil.com",
     "/%2f%2fevil.com/", "///evil.com/", "/slash//evil.com", "/slash/%2fevil.com", "/.//evil.com/", "/%09/evil.com/",
     "http://evil.com//x/", "/slash/a%0d%0aX:y", "/echo/", "/echo//", "/%2fecho/"],
)  # fmt: skip
def test_C7_the_slash_redirect_stays_here(server: Server, path: str) -> None:
    answer = server.get(path)
    location = answer.header("location")
    if location is not None:
        assert answer.status == 308
        assert location.startswith("/")
        assert not location.startswith(("//", "/\\"))
        assert "evil.com" not in location.split("/")[1]


def test_C7_the_slash_redirect_works(server: Server) -> None:
    for path, location in (
        ("/items/", "/items"),
        ("/slash/a", "/slash/a/"),
        ("/slash/%C3%A9?q=1", "/slash/%C3%A9/?q=1"),
    ):
        answer = server.get(path)
        assert (answer.status, answer.header("location")) == (308, location)


@pytest.mark.parametrize(
    "target",
    ["//e", "///e", "/\\e", "\\\\e", "https:e", "http:///e", "\t//e", "javascript:alert(1)", "https://good@evil", "x" * 1_000_000,
     "//e/..", "/\t/e", "/\n/e", "/\r/e", "http:/e", "https://localhost@evil", "https://localhost.evil", "data:text/html,x",
     "//localhost\\@evil", " //e", "\u2028//e", "/%0d%0aX:y", "https://evil", "//％65vil", "\x00//e", "//localhost:99999", "ftp://localhost/x",
     "https://localhost:80:80/", "https://[::1/"],
)  # fmt: skip
def test_C8_redirects_to_elsewhere(server: Server, target: str) -> None:
    answer = server.get("/go?next=" + quote(target, safe=""))
    if answer.status == 414:
        assert len(target) > 8000
        return
    assert (answer.status, answer.header("location")) in ((303, "/"), (303, "/%0d%0aX:y"), (303, "/%250d%250aX:y")), (
        answer
    )


def test_C8_redirects_on_this_host(server: Server) -> None:
    for target, location in (("/a?b=c", "/a?b=c"), ("http://localhost/x", "/x"), ("", "/")):
        assert server.get("/go?next=" + quote(target, safe="")).header("location") == location


@pytest.mark.parametrize("path", ["/private%0a", "/private/%20", "/private;x", "/Private", "/private%20", "/private%00", "/private%2f",
                                  "/private.", "/private/.", "/./private", "/x/../private", "/private%3f", "/%70rivate%2e", "//private"])  # fmt: skip
def test_C9_other_spellings_of_a_path(guarded: Server, path: str) -> None:
    assert guarded.get(path, host="good.example").status in (400, 404, 308), path


def test_C9_an_escaped_letter_is_the_same_path(guarded: Server) -> None:
    assert guarded.get("/%70rivate", host="good.example").status == 200


@pytest.mark.parametrize("value", ["99999999999999999999", "9" * 5000, "\u0661\u0662", "1e3", "0x1", "+1", "1_0", "1.0", " 1", "1 ",
                                   "\uff11", "1\u00a0", "--1", "-", "01x", "9223372036854775808", "true", "None", "²"])  # fmt: skip
def test_C10_integers_in_a_path(server: Server, value: str) -> None:
    assert server.get("/items/" + quote(value, safe="")).status == 404


def test_C10_minus_one_is_an_integer(server: Server) -> None:
    assert server.get("/items/-1").json() == {"id": -1}
    assert server.get("/items/9223372036854775807").status == 200


@pytest.mark.parametrize(
    "path",
    [
        b"%00",
        b"%ff",
        b"%c0%af",
        b"%zz",
        b"%",
        b"%4",
        b"\xff",
        b"a%00b",
        b"%0a",
        b"%7f",
        b"%ed%a0%80",
        b"%f4%90%80%80",
        b"%1b",
    ],
)
def test_C11_bytes_that_are_no_text(server: Server, path: bytes) -> None:
    assert server.get(b"/convert/str/" + path).status in (400, 404)
    assert server.get(b"/echo?x=" + path).status in (400, 200)


def test_C11_long_segments_and_slashes(server: Server) -> None:
    assert server.get("/convert/str/" + "a" * 65_000).status == 414
    assert server.get("/convert/str/a%2fb").status == 404
    assert server.get("/convert/path/a%2fb").body == b"a/b"


@pytest.mark.parametrize("kind", ["int", "float", "uuid", "date", "enum", "str", "slug", "path"])
@pytest.mark.parametrize(
    "piece", ["1", "a", "-", "a-", "0.", "%2e", "/a", "1e", "_", "%C3%A9", "--1", "a/../", "(", "9" * 10 + "."]
)
def test_C12_pathological_segments(server: Server, kind: str, piece: str) -> None:
    def attack(size: int) -> None:
        answer = server.get(f"/convert/{kind}/" + piece * (size // len(piece)))
        assert answer.status in (200, 404, 400, 414)

    assert server.cost(lambda: attack(7_900), times=1) < 0.2


@pytest.mark.parametrize("kind", ["int", "float", "slug", "path"])
def test_C12_converters_are_linear(server: Server, kind: str) -> None:
    server.check_linear(lambda n: server.get(f"/convert/{kind}/" + "1" * n + "!"), 900)


def test_C13_methods_that_have_no_handler(server: Server) -> None:
    answer = server.send("HEAD", "/items")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("content-length") == str(len(server.get("/items").body))
    answer = server.send("OPTIONS", "/items")
    assert (answer.status, answer.body, answer.header("allow")) == (204, b"", "GET, HEAD, OPTIONS")
    answer = server.send("POST", "/items")
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD, OPTIONS")
    assert server.send("OPTIONS", "/nothing").status == 404
    (answer,) = server.raw(head("OPTIONS", "*", "Connection: close"))
    assert answer.status in (204, 400)


@pytest.mark.parametrize(
    "name", ["x.html", "x.svg", "x.xml", "x.xhtml", "polyglot.txt", "polyglot.gif", "noextension", "x.HTML", "x.js"]
)
def test_C14_uploads_that_would_run(server: Server, name: str) -> None:
    content = b"GIF89a<script>alert(1)</script>"
    body = b'--b\r\ncontent-disposition: form-data; name="file"; filename="%b"\r\ncontent-type: text/html\r\n\r\n%b\r\n--b--\r\n'
    assert server.post("/upload", body % (name.encode(), content), "multipart/form-data; boundary=b").status == 200
    answer = server.get("/files/" + name)
    assert (answer.status, answer.body) == (200, content)
    assert (answer.header("content-disposition") or "").startswith("attachment")
    assert answer.header("x-content-type-options") == "nosniff"


@pytest.mark.parametrize(
    "name", ['a";x="b\r\n', "naïve.txt", "日本.txt", "a\\b", "a\0b", "a\u2028b", "%41", "x" * 5000, ""]
)
def test_C15_names_in_a_disposition(name: str) -> None:
    value = content_disposition(name, inline=False)
    assert value.startswith("attachment")
    assert value.isascii()
    assert not any(c in value for c in "\r\n\0")
    assert value.count('"') in (0, 2) or '\\"' in value
    assert len(value) < 2000 or len(name) > 1000


def test_C16_modes_of_stored_files(server: Server, root: Path, tmp_path: Path) -> None:
    from tempfile import SpooledTemporaryFile

    previous = os.umask(0)
    try:
        with SpooledTemporaryFile() as file:
            file.write(b"x")
            Upload(file, raw_filename="a").save_sync(tmp_path / "a")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) & 0o137 == 0
    for path in (root / "stored").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o022 == 0


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "a/./b", "a//b", "", "..", "a/", "\0", "a\nb", "x" * 300])
def test_C17_names_that_leave_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFound):
        safe_join(tmp_path, name)


def test_C17_stored_files_by_name(server: Server) -> None:
    for name in ("..%2fapp.txt", "%2e%2e", ".x", "..", "%2fetc%2fpasswd", "stored", "a%5cb"):
        assert server.get("/files/" + name).status == 404


def test_conditional_requests_are_answered_without_a_body(server: Server) -> None:
    first = server.get("/static/page.txt")
    tag = first.header("etag") or ""
    answer = server.get("/static/page.txt", ("If-None-Match", tag))
    assert (answer.status, answer.body) == (304, b"")
    assert server.get("/static/page.txt", ("If-Match", '"other"')).status == 412
    assert server.get("/cached", ("If-None-Match", 'W/"1"')).status == 304
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 10))
    assert server.get("/static/page.txt", ("If-Modified-Since", date)).status == 304
    for wrong in (
        "x",
        "99999999999999999999",
        "Thu, 99 Foo 2026 99:99:99 GMT",
        "\xe9",
        '"' * 60_000,
        "W/" * 30_000,
        "," * 60_000,
    ):
        for name in ("If-None-Match", "If-Modified-Since", "If-Range", "If-Unmodified-Since"):
            assert server.get("/static/page.txt", (name, wrong)).status == 200, (name, wrong[:20])
