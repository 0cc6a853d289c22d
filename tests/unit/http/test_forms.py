from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import quintet.http._multipart as multipart
from quintet.errors import BadRequest, ClientDisconnected, ContentTooLarge, HTTPError, UnsupportedMediaType
from quintet.http._multipart import multipart_boundary
from quintet.http.forms import FormData, FormLimits, parse_multipart, parse_urlencoded
from quintet.http.upload import Upload

BOUNDARY = "xYz"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(content: bytes, name: str = "a", filename: str | None = None, headers: str = "") -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        head += f'; filename="{filename}"'
    return f"--{BOUNDARY}\r\n{head}\r\n{headers}\r\n".encode() + content + b"\r\n"


def body(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


async def stream(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def parse(*chunks: bytes, content_type: str = TYPE, limits: FormLimits = FormLimits()) -> FormData:
    return asyncio.run(parse_multipart(stream(chunks), content_type, limits))


def plain(form: FormData) -> list[tuple[str, Any]]:
    out: list[tuple[str, Any]] = []
    with form:
        for name, value in form.items:
            if isinstance(value, Upload):
                value.file.seek(0)
                out.append((name, (value.raw_filename, value.content_type, value.size, value.file.read())))
            else:
                out.append((name, value))
    return out


# --- the form ---


def test_a_form_knows_its_values_by_name() -> None:
    form = FormData([("a", "1"), ("b", "2"), ("a", "3")])
    assert form.get("a") == "3"
    assert form.get("x") is None
    assert form.getall("a") == ["1", "3"]
    assert form.getall("x") == []
    assert "a" in form and "x" not in form
    assert list(form) == ["a", "b"]
    assert len(form) == 3


# --- urlencoded ---


def test_urlencoded_fields_keep_their_order() -> None:
    assert parse_urlencoded(b"b=1&a=x+y&b=%C3%A9").items == [("b", "1"), ("a", "x y"), ("b", "é")]
    assert parse_urlencoded(b"").items == []
    assert parse_urlencoded(b"_charset_=latin1&a=1").items == [("_charset_", "latin1"), ("a", "1")]


def test_b20_hostile_urlencoded_bodies_are_refused() -> None:
    assert parse_urlencoded(b"a=1;b=2").items == [("a", "1;b=2")]
    with pytest.raises(ContentTooLarge, match="more than 1000 fields"):
        parse_urlencoded(b"a=1&" * 1000 + b"a=1")
    with pytest.raises(ContentTooLarge, match="larger than 500000 bytes"):
        parse_urlencoded(b"k" * 1_000_000)
    with pytest.raises(ContentTooLarge, match="together"):
        parse_urlencoded(b"k=" + b"v" * 400_000 + b"&k=" + b"v" * 400_000 + b"&k=" + b"v" * 400_000)
    with pytest.raises(BadRequest, match="not UTF-8"):
        parse_urlencoded(b"a=%ff")
    with pytest.raises(BadRequest, match="the form has a broken escape"):
        parse_urlencoded(b"a=%zz")


@given(st.binary(max_size=80))
def test_any_urlencoded_body_is_read_or_refused(raw: bytes) -> None:
    try:
        parse_urlencoded(raw)
    except HTTPError as error:
        assert error.status in (400, 413)


# --- multipart ---


def test_fields_and_files_are_read_in_order() -> None:
    form = parse(
        body(
            part(b"Ada"),
            part(b"\x00\xff\r\n--xY", "f", "a b.bin", "Content-Type: image/png\r\nX-Extra: 1\r\n"),
            part("é".encode(), "é"),
            part(b"", "a"),
        )
    )
    upload = form.get("f")
    assert isinstance(upload, Upload)
    assert upload.headers["x-extra"] == "1"
    assert upload.in_memory
    assert plain(form) == [
        ("a", "Ada"),
        ("f", ("a b.bin", "image/png", 8, b"\x00\xff\r\n--xY")),
        ("é", "é"),
        ("a", ""),
    ]


def test_an_empty_form_has_no_fields() -> None:
    assert parse(body()).items == []
    assert parse(b"\r\n" + body()).items == []


def test_a_file_past_the_limit_goes_to_disk() -> None:
    content = bytes(range(256)) * 4096 * 3
    form = parse(body(part(content, filename="big"), part(b"tiny", filename="small")))
    big, small = (value for _, value in form.items)
    assert isinstance(big, Upload) and isinstance(small, Upload)
    assert not big.in_memory and small.in_memory
    assert asyncio.run(big.read()) == content
    form.close()
    assert big.file.closed and small.file.closed


def test_many_small_files_share_the_memory_of_one() -> None:
    form = parse(*[part(b"x" * 400, filename=str(n)) for n in range(5)], body(), limits=FormLimits(spool_size=1000))
    assert [value.in_memory for _, value in form.items if isinstance(value, Upload)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert [value[3] for _, value in plain(form)] == [b"x" * 400] * 5


def test_memory_stays_flat_while_a_large_file_arrives() -> None:
    piece = b"x" * 65536

    async def chunks() -> AsyncIterator[bytes]:
        yield part(b"", filename="big")[:-2]
        for _ in range(16 * 20):
            yield piece
        yield b"\r\n" + body()

    tracemalloc.start()
    try:
        form = asyncio.run(parse_multipart(chunks(), TYPE))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    (value,) = form.getall("a")
    assert isinstance(value, Upload) and value.size == 20 * 1024 * 1024
    form.close()
    assert peak < 4 * 1024 * 1024


def test_b19_a_body_in_single_bytes_costs_little() -> None:
    raw = body(part(b"x" * 1_000_000, filename="f"))
    chunks = [raw[n : n + 1] for n in range(len(raw))]
    started = time.process_time()
    form = parse(*chunks)
    assert time.process_time() - started < 2
    assert form.getall("a")
    form.close()


@pytest.mark.parametrize(
    "content", [b"\r" * 5_000_000, b"\r\n" * 2_500_000, b"\r\n--xY" * 700_000, b"\r" + b"x" * 5_000_000]
)
def test_b10_dense_line_breaks_take_linear_time(content: bytes) -> None:
    raw = body(part(content, filename="f"))
    started = time.process_time()
    form = parse(*[raw[n : n + 1000] for n in range(0, len(raw), 1000)])
    assert time.process_time() - started < 3
    (value,) = form.getall("a")
    assert isinstance(value, Upload) and value.size == len(content)
    form.close()


@pytest.mark.parametrize(
    ("raw", "status", "reason"),
    [
        (b"", 400, "Unexpected end"),
        (b"--xYz", 400, "Unexpected end"),
        (b"x", 400, "does not begin with its boundary"),
        (b"preamble\r\n" + body(part(b"1")), 400, "does not begin with its boundary"),
        (part(b"1"), 400, "Unexpected end"),
        (part(b"1") + b"--xYz-", 400, "Unexpected end"),
        (part(b"1") + b"--other--\r\n", 400, "Unexpected end"),
        (body(part(b"1", "")), 400, "no name"),
        (body(b"--xYz\r\nContent-Disposition: form-data\r\n\r\n1\r\n"), 400, "no name"),
        (body(b"--xYz\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n"), 400, "Wrong type"),
        (body(b"--xYz\r\nContent-Type: text/plain\r\n\r\n1\r\n"), 400, "Missing Content-Disposition"),
        (body(b"--xYz\r\n\r\n1\r\n"), 400, "Missing Content-Disposition"),
        (body(part(b"1", headers="no colon\r\n")), 400, "Malformed segment header"),
        (body(part(b"1", headers="A\nB: 1\r\n")), 400, "malformed"),
        (body(part(b"1", headers='Content-Disposition: form-data; name="b"\r\n')), 400, "repeats a header field"),
        (body(part(b"\xff")), 400, "not UTF-8"),
        (body(part(b"\xff")).replace(b'"a"', b'"\xff"'), 400, "failed to decode"),
        (body(part(b"1", headers="Content-Type: text/plain; charset=utf-16\r\n")), 400, "declared to be UTF-8"),
        (body(part(b"1", headers="Content-Transfer-Encoding: base64\r\n")), 400, "Content-Transfer-Encoding"),
        (body(part(b"1", headers="Content-Length: 7\r\n")), 400, "Content-Length"),
        (body(b"--xYz\r\nContent-Disposition: form-data; name=a; filename*=UTF-8''x\r\n\r\n1\r\n"), 400, "filename"),
        (body(part(b"1")).replace(b"\r\n", b"\n"), 400, "malformed"),
        # B8, B9, B11
        (body(*[part(b"1")] * 1001), 413, "more than 1000 fields"),
        (body(*[part(b"1", filename="f")] * 101), 413, "more than 100 files"),
        (body(*[part(b"1")] * 20_000), 413, "more than 1000 fields"),
        (body(part(b"x" * 600_000)), 413, "larger than 500000 bytes"),
        (body(*[part(b"x" * 400_000)] * 3), 413, "together"),
        (body(part(b"1", headers="".join(f"X-{n}: 1\r\n" for n in range(1000)))), 400, "header count"),
        (body(part(b"1", headers="X: " + "x" * 1_000_000 + "\r\n")), 400, "header length"),
        (body(part(b"1", headers="".join(f"X-{n}: {'x' * 1000}\r\n" for n in range(5)))), 400, "header fields"),
        (body(part(b"x" * 99, filename="f")), 413, "larger than 98 bytes"),
    ],
)  # fmt: skip
def test_broken_and_oversized_bodies_are_refused_with_a_reason(raw: bytes, status: int, reason: str) -> None:
    with pytest.raises(HTTPError, match=reason) as caught:
        parse(raw, limits=FormLimits(max_file_size=98))
    assert caught.value.status == status


def test_b9_an_endless_field_is_refused_before_it_is_read() -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        yield part(b"")[:-2]
        while True:
            read += 65536
            yield b"x" * 65536

    with pytest.raises(ContentTooLarge):
        asyncio.run(parse_multipart(endless(), TYPE))
    assert read < 1_000_000


def test_b12_a_long_preamble_is_refused_and_a_long_epilogue_ignored() -> None:
    started = time.process_time()
    with pytest.raises(BadRequest):
        parse(*[b"\r\n" * 5000] * 1000, body())
    assert plain(parse(body(part(b"1")), *[b"\r\n--xYz" * 1000] * 1400)) == [("a", "1")]
    assert time.process_time() - started < 2


def test_b14_spaces_before_an_encoding_cost_nothing() -> None:
    started = time.process_time()
    with pytest.raises(BadRequest):
        parse(body(part(b"1", headers="Content-Transfer-Encoding: base64" + " " * 10_000_000 + "\r\n")))
    assert time.process_time() - started < 1


def test_b15_ambiguous_parts_have_one_documented_meaning() -> None:
    nested = part(b"--in\r\n\r\n--in--", "n", headers="Content-Type: multipart/mixed; boundary=in\r\n")
    both = b"--xYz\r\nContent-Disposition: form-data; name=f; filename=\"a\"; filename*=UTF-8''b\r\n\r\n1\r\n"
    form = parse(body(part(b"latin1", "_charset_"), nested, part(b"1"), part(b"2"), both))
    assert plain(form) == [
        ("_charset_", "latin1"),
        ("n", "--in\r\n\r\n--in--"),
        ("a", "1"),
        ("a", "2"),
        ("f", ("a", "application/octet-stream", 1, b"1")),
    ]


def test_a_file_input_left_empty_is_absent() -> None:
    form = parse(body(part(b"", filename=""), part(b"1", "b", ""), part(b"", "c", "empty.txt")))
    assert plain(form) == [
        ("b", ("", "application/octet-stream", 1, b"1")),
        ("c", ("empty.txt", "application/octet-stream", 0, b"")),
    ]


# --- the boundary ---


@pytest.mark.parametrize(
    ("content_type", "want"),
    [
        ("multipart/form-data; boundary=abc", "abc"),
        ('Multipart/Form-Data;charset=utf-8;BOUNDARY="a b:c"', "a b:c"),
        ('multipart/form-data; a="x; boundary=no"; boundary="a\\=c" ; ', "a=c"),
        ("multipart/form-data; boundary=" + "b" * 70, "b" * 70),
        ("multipart/form-data; boundary=----WebKitFormBoundaryX", "----WebKitFormBoundaryX"),
    ],
)
def test_the_boundary_is_read(content_type: str, want: str) -> None:
    assert multipart_boundary(content_type) == want


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data;",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        'multipart/form-data; boundary="a',
        'multipart/form-data; boundary="a "',
        'multipart/form-data; boundary="a\r\nb"',
        "multipart/form-data; boundary=é",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=a b",
        "multipart/form-data; boundary=" + "b" * 71,
        "multipart/form-data; boundary=" + "b" * 10_000,
        'multipart/form-data; a="' + "\\\\" * 50_000,
        'multipart/form-data; a="' + "\\\\" * 400,
    ],
)
def test_b13_a_bad_boundary_is_refused(content_type: str) -> None:
    started = time.process_time()
    with pytest.raises(BadRequest):
        multipart_boundary(content_type)
    assert time.process_time() - started < 0.2


@pytest.mark.parametrize("content_type", ["", "text/plain", "multipart/mixed; boundary=a", "multipart/form-datax"])
def test_another_type_is_not_a_form(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        parse(b"", content_type=content_type)


# --- failures ---


@pytest.mark.parametrize("size", [10, 3_000_000])
@pytest.mark.parametrize("failure", [ClientDisconnected(), BadRequest("x"), asyncio.CancelledError()])
def test_every_file_is_closed_when_the_body_fails(
    monkeypatch: pytest.MonkeyPatch, size: int, failure: BaseException
) -> None:
    made: list[multipart._FilePart] = []  # pyright: ignore[reportPrivateUsage]
    original = multipart._FilePart.__init__  # pyright: ignore[reportPrivateUsage]

    def init(self: multipart._FilePart, *args: object) -> None:  # pyright: ignore[reportPrivateUsage]
        original(self, *args)  # pyright: ignore[reportArgumentType]
        made.append(self)

    monkeypatch.setattr(multipart._FilePart, "__init__", init)  # pyright: ignore[reportPrivateUsage]

    async def broken() -> AsyncIterator[bytes]:
        yield part(b"x" * size, filename="one")
        yield part(b"x" * 70_000, filename="two")[:-1]
        raise failure

    with pytest.raises(type(failure)):
        asyncio.run(parse_multipart(broken(), TYPE))
    assert len(made) == 2
    assert all(file.file.closed for file in made)


# --- fuzz ---

pieces = st.sampled_from(
    [
        b"--xYz",
        b"--xYz--",
        b"\r\n",
        b"\n",
        b"\r",
        b"--",
        b": ",
        b"x",
        b"\xff",
        part(b"1"),
        part(b"2", "f", "n"),
        part(b""),
        b'Content-Disposition: form-data; name="a"',
        b"; filename=",
        b"\r\n\r\n",
        body(),
    ]
)


def outcome(chunks: list[bytes], feed: int) -> Any:
    old = multipart._FEED_SIZE  # pyright: ignore[reportPrivateUsage]
    multipart._FEED_SIZE = feed  # pyright: ignore[reportPrivateUsage]
    try:
        return plain(parse(*chunks))
    except HTTPError as error:
        assert error.status in (400, 413)
        return error.status
    finally:
        multipart._FEED_SIZE = old  # pyright: ignore[reportPrivateUsage]


@given(st.lists(pieces, max_size=12).map(b"".join), st.lists(st.integers(0, 300), max_size=4))
def test_any_body_means_the_same_however_it_is_split(raw: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(raw)), len(raw)]
    chunks = [raw[start:end] for start, end in pairwise(edges)]
    assert outcome(chunks, feed=1) == outcome([raw], feed=1)


def test_a_body_means_the_same_split_anywhere() -> None:
    raw = body(part(b"Ada\r\n--xYq"), part(b"\r\n--xY\r\r\n", "f", "n.txt"), part(b"", "e")) + b"epilogue"
    want = outcome([raw], feed=1)
    assert len(want) == 3
    assert outcome([raw[n : n + 1] for n in range(len(raw))], feed=1) == want
    for cut in range(len(raw)):
        assert outcome([raw[:cut], raw[cut:]], feed=1) == want


@given(st.text(max_size=80) | st.text('multipart/form-data; boundary="\\= a,', max_size=80))
def test_any_content_type_is_read_or_refused(content_type: str) -> None:
    for value in (content_type, "multipart/form-data;" + content_type):
        try:
            assert multipart_boundary(value)
        except HTTPError as error:
            assert error.status in (400, 415)
