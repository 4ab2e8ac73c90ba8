"""Server-Sent Events out of bytes, as the WHATWG reads them. Pure.

Source: WHATWG HTML, "Server-sent events", §9.2.5 and §9.2.6. Ours, because what a cursor hangs
on has to be exact: httpx-sse 0.4 does not drop a byte order mark, dispatches frames that have no
data, takes `retry: 1_0`, and sets no bound to a line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import ProtocolError

# A snapshot has 1 MiB by default and 256 MiB at the most, if the server is set up so.
MAX_FRAME_BYTES = 64 * 1024 * 1024
# More digits than that are no time to wait, but an attempt at something else.
MAX_RETRY_DIGITS = 9

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Frame:
    """What stood before a blank line.

    `data` is None where there was none: such a frame is no event, but its `id` moves the
    cursor. `id` is the last one seen so far; None before the first. `retry_milliseconds` is
    None where this frame does not set it.
    """

    event: str = "message"
    data: str | None = None
    id: str | None = None
    retry_milliseconds: int | None = None


class Parser:
    """Takes bytes as they come, and returns the frames that they complete.

    What stands after the last blank line when the connection ends is never returned.
    """

    def __init__(self, *, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._line = bytearray()  # so far, without its end
        self._after_cr = False  # an LF that comes now belongs to the line end before it
        self._first = True
        self._id: str | None = None
        self._begin()

    def _begin(self) -> None:
        self._event = ""
        self._data: list[str] = []
        self._bytes = 0
        self._retry: int | None = None
        self._seen = False

    def feed(self, chunk: bytes) -> list[Frame]:
        """Return the frames that end in `chunk`; raises ProtocolError for one that is too long."""
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        *ended, rest = _LINE_END.split(chunk)
        frames = []
        for part in ended:
            frame = self._end_line(bytes(self._line) + part if self._line else part)
            self._line.clear()
            if frame is not None:
                frames.append(frame)
        self._line += rest
        self._check_size(0)
        return frames

    def _end_line(self, line: bytes) -> Frame | None:
        if self._first:
            line = line.removeprefix(_BOM)
            self._first = False
        if line:
            self._field(line)
            return None
        seen = self._seen
        data = "\n".join(self._data) if self._data else None
        # One empty `data:` is an event without text; only no `data` at all is no event.
        frame = Frame(self._event or "message", data, self._id, self._retry)
        self._begin()
        return frame if seen else None

    def _field(self, line: bytes) -> None:
        name, _, raw = line.partition(b":")
        value = raw.removeprefix(b" ").decode("utf-8", "replace")
        if name == b"data":
            self._check_size(len(line))
            self._data.append(value)
        elif name == b"event":
            self._event = value
        elif name == b"id" and "\0" not in value:
            self._id = value
        elif name == b"retry" and value.isascii() and value.isdigit():
            if len(value) > MAX_RETRY_DIGITS:
                return
            self._retry = int(value)
        else:
            return  # a comment, or a field that nobody knows
        self._seen = True

    def _check_size(self, more: int) -> None:
        self._bytes += more
        if self._bytes + len(self._line) > self._max_frame_bytes:
            raise ProtocolError(f"the server sent a frame of over {self._max_frame_bytes} bytes")
