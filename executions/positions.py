"""Places in the log, and how a client writes them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_BIGINT = 2**63 - 1

_POSITION = re.compile(r"([0-9a-f]{4,32})-(0|[1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the log: after event `seq` of `epoch`. Written `epoch-seq`."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Return the position that `text` writes, or None where it writes none."""
        match = _POSITION.fullmatch(text)
        if match is None or int(match[2]) > MAX_BIGINT:
            return None
        return cls(match[1], int(match[2]))
