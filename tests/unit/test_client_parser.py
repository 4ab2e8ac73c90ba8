"""The client's reading of Server-Sent Events, held against the WHATWG's words and our server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming import sse
from streaming.client.errors import ProtocolError
from streaming.client.parser import Frame, Parser

# What matters to the format, and what only looks as if it did.
ALPHABET = [
    *("\n", "\r", "\r\n", ":", " ", "\0", "\ufeff", "\u2028", "\u0085", "\x0b", "\x0c", "\x1c"),
    *("data", "data:", "data: ", "id: ", "id", "event: ", "retry: ", "retry:", ": heartbeat"),
    *("1", "٣", "12345678901", "+5", "1_0", "ä", "世", "🚀", "x"),
]
TEXTS = st.lists(st.sampled_from(ALPHABET), max_size=60).map("".join)


def cut(data: bytes, at: list[int]) -> Iterator[bytes]:
    """Yield `data` in pieces, cut at these places wherever they fall; empty ones included."""
    edges = [0, *sorted(x % (len(data) + 1) for x in at), len(data)]
    for start, end in zip(edges, edges[1:], strict=False):
        yield data[start:end]


def read(data: bytes, at: list[int] | None = None) -> list[Frame]:
    parser = Parser()
    return [frame for chunk in cut(data, at or []) for frame in parser.feed(chunk)]


def by_the_book(data: bytes) -> list[tuple[str, str, str]]:
    """Read a whole stream as §9.2.6 says, word for word: (event, data, last id) dispatched."""
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    lines.pop()  # what no line end follows is no line
    dispatched, last_id, kind, buffer = [], "", "", ""
    for line in lines:
        if line == "":
            if buffer != "":
                dispatched.append((kind or "message", buffer.removesuffix("\n"), last_id))
            kind = buffer = ""
            continue
        name, colon, value = line.partition(":")
        if colon and name == "":
            continue
        value = value[1:] if value.startswith(" ") else value
        if name == "event":
            kind = value
        elif name == "data":
            buffer += value + "\n"
        elif name == "id" and "\0" not in value:
            last_id = value
    return dispatched


@given(TEXTS.map(str.encode) | st.binary(max_size=200), st.lists(st.integers(0, 500), max_size=8))
def test_it_reads_as_the_specification_does(data: bytes, at: list[int]) -> None:
    read_so = [(f.event, f.data, f.id or "") for f in read(data, at) if f.data is not None]
    assert read_so == by_the_book(data)


@given(TEXTS, st.lists(st.integers(0, 500), max_size=8))
def test_it_does_not_matter_where_the_bytes_are_cut(text: str, at: list[int]) -> None:
    assert read(text.encode(), at) == read(text.encode())


@given(
    st.text(),
    st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), min_size=1),
    st.integers(0, 10**9 - 1),
    st.lists(st.integers(0, 500), max_size=8),
)
def test_it_gets_back_what_our_server_encodes(
    data: str, id: str, retry: int, at: list[int]
) -> None:
    encoded = sse.event(data, id=id, name="reset", retry_milliseconds=retry)
    encoded += sse.heartbeat(id="next") + sse.heartbeat()
    as_lines = data.replace("\r\n", "\n").replace("\r", "\n")
    frames = read(encoded, at)
    assert frames == [Frame("reset", as_lines, id, retry), Frame(id="next")]


@pytest.mark.parametrize(
    ("written", "retry"),
    [("2000", 2000), ("", None), ("+5", None), ("1_0", None), ("٣", None), ("9" * 5000, None)],
)
def test_it_takes_only_digits_for_a_retry(written: str, retry: int | None) -> None:
    (frame,) = read(f"retry: {written}\ndata: x\n\n".encode())
    assert frame.retry_milliseconds == retry


def test_it_drops_a_frame_that_was_cut_off() -> None:
    assert read(b"id: 1\ndata: whole\n\nid: 2\ndata: half\n") == [Frame(data="whole", id="1")]


def test_it_keeps_the_id_that_a_nul_would_replace() -> None:
    frames = read(b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n")
    assert [frame.id for frame in frames] == ["1", "1"]


@pytest.mark.parametrize("data", [b"data: " + b"x" * 2000, b"data: xxxxxxxx\n" * 200])
def test_it_holds_no_more_than_it_is_told_to(data: bytes) -> None:
    parser = Parser(max_frame_bytes=1000)
    with pytest.raises(ProtocolError, match="over 1000 bytes"):
        for chunk in cut(data, list(range(0, len(data), 100))):
            parser.feed(chunk)
