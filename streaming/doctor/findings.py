"""What a check has found, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """From fine to broken."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


EXIT_STATUS = {Level.OK: 0, Level.WARNING: 1, Level.ERROR: 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """`advice` is what to do; empty where there is nothing to be done."""

    check: str
    level: Level
    detail: str
    advice: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def as_text(self) -> str:
        line = f"{self.level:8} {self.check:12} {self.detail}"
        return f"{line}\n{'':22}-> {self.advice}" if self.advice else line


def ok(check: str, detail: str) -> Finding:
    return Finding(check, Level.OK, detail)


def warning(check: str, detail: str, advice: str) -> Finding:
    return Finding(check, Level.WARNING, detail, advice)


def error(check: str, detail: str, advice: str) -> Finding:
    return Finding(check, Level.ERROR, detail, advice)


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level of all; OK of none."""
    return max((f.level for f in findings), key=lambda level: EXIT_STATUS[level], default=Level.OK)
