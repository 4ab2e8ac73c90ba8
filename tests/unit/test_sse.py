from __future__ import annotations

import re

import pytest
from httpx_sse._decoders import SSEDecoder
from hypothesis import given
from hypothesis import strategies as st

from streaming import sse


def decode(data: bytes) -> list[tuple[str, str, str, int | None]]:
    """Return (event, data, id, retry) of each dispatched block, as a client sees it."""
    decoder, found = SSEDecoder(), []
    for line in re.split(r"\r\n|\r|\n", data.decode())[:-1]:
        event = decoder.decode(line)
        if event is not None:
            found.append((event.event, event.data, event.id, event.retry))
    return found


def test_it_encodes_every_field() -> None:
    data = sse.event("{}", id="5f1c-1", name="connected", retry_milliseconds=2000)
    assert data == b"retry: 2000\nid: 5f1c-1\nevent: connected\ndata: {}\n\n"


def test_it_encodes_a_heartbeat_that_moves_the_cursor() -> None:
    assert sse.heartbeat(id="5f1c-7") == b"id: 5f1c-7\n: heartbeat\n\n"
    assert sse.heartbeat() == b": heartbeat\n\n"


@given(st.text(), st.text(st.characters(exclude_characters="\r\n\0"), min_size=1))
def test_it_round_trips_any_text(text: str, name: str) -> None:
    # A surrogate alone is no text that UTF-8 could carry.
    text = text.encode("utf-8", "replace").decode()
    name = name.encode("utf-8", "replace").decode()
    decoded = decode(sse.event(text, id="5f1c-1", name=name))
    lines = re.sub(r"\r\n|\r", "\n", text)
    assert decoded == [(name, lines, "5f1c-1", None)]


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b"])
def test_it_refuses_what_would_break_out_of_a_field(bad: str) -> None:
    with pytest.raises(sse.FieldError):
        sse.event("{}", id=bad)
    with pytest.raises(sse.FieldError):
        sse.event("{}", name=bad)
    with pytest.raises(sse.FieldError):
        sse.heartbeat(id=bad)
