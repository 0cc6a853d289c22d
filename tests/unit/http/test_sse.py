from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.http.sse import Event, encode_event


def read(stream: bytes) -> list[dict[str, str]]:
    """Read a stream as the HTML Standard says a browser does."""
    events: list[dict[str, str]] = []
    fields: dict[str, str] = {}
    data: list[str] = []
    for line in stream.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                events.append({**fields, "data": "\n".join(data)})
            fields, data = {}, []
        elif name == "data":
            data.append(value)
        elif name:
            fields[name] = value
    return events


def test_an_event_has_all_its_parts() -> None:
    event = Event({"n": 1}, event="tick", id="7", retry=500, comment="hi\nthere")
    assert encode_event(event, msgspec.json.encode) == (
        b': hi\n: there\nevent: tick\nid: 7\nretry: 500\ndata: {"n":1}\n\n'
    )


def test_a_comment_alone_carries_no_data() -> None:
    assert encode_event(Event(comment=""), msgspec.json.encode) == b": \n\n"


def test_none_is_data() -> None:
    assert encode_event(Event(None), msgspec.json.encode) == b"data: null\n\n"


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r")), st.text("ab "), st.text("1: "))
def test_a_browser_reads_the_same_event(data: str, name: str, ident: str) -> None:
    stream = encode_event(Event(data, event=name, id=ident), str.encode)
    assert read(stream) == [{"event": name, "id": ident, "data": data}]


@given(st.binary())
def test_data_never_ends_the_event(data: bytes) -> None:
    stream = encode_event(Event(data), bytes)
    lines = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    assert lines[-2:] == [b"", b""]
    assert all(line.startswith(b"data: ") for line in lines[:-2])


@pytest.mark.parametrize(
    "fields",
    [{"id": "1\ndata: evil"}, {"id": "\r"}, {"id": "\0"}, {"event": "a\nb"}, {"event": "a\r"}, {"retry": -1}],
)
def test_fields_that_break_out_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"line end|milliseconds"):
        Event("x", **fields)


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_a_comment_never_breaks_out(comment: str) -> None:
    assert read(encode_event(Event("x", comment=comment), str.encode)) == [{"data": "x"}]
