"""How long each part takes, and what the scenarios share."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.peers import nchan, pythons

ALL = (
    "fanout",
    "saturation",
    "selective",
    "filters",
    "twoweb",
    "idle",
    "storm",
    "sweep",
    "latency",
    "writer",
    "sequencer",
)
RAW = "raw uvloop writer"
OFTEN = ("nchan", RAW)  # peers measured as often as we are
ONCE = ("sse-starlette", "django-eventstream")


@dataclass(frozen=True, slots=True)
class Plan:
    """Runs a median is of, the seconds of one run, and how much of everything."""

    runs: int
    seconds: float
    step_seconds: float  # of each rate tried at saturation
    idle_seconds: float
    clients: int  # of the scenarios for 1,000
    many: int  # of those for 5,000
    backlog: int  # events
    sweep: tuple[int, ...] = ()  # numbers of clients
    scenarios: tuple[str, ...] = ALL
    peers: tuple[str, ...] = ()


# With the first server, and with the second.
FULL = (
    Plan(3, 5.0, 1.5, 30.0, 1000, 5000, 1_000_000, (100, 1000, 4000), peers=OFTEN + ONCE),
    Plan(1, 4.0, 2.0, 16.0, 1000, 2000, 0),
)
QUICK = (
    Plan(
        *(1, 3.0, 1.5, 16.0, 1000, 1000, 100_000),
        scenarios=("fanout", "saturation", "latency", "idle", "writer", "sequencer"),
        peers=OFTEN[:1],
    ),
    Plan(1, 3.0, 1.5, 16.0, 1000, 1000, 0, scenarios=("fanout",)),
)
MINUTES = {FULL: 22.5, QUICK: 3.2}  # what has not begun by then is left out, and said so


@dataclass
class Bench:
    """What scenarios work with. `missing`: peers that are not here, and how to get them."""

    plan: Plan
    folder: Path
    missing: dict[str, str] = field(default_factory=dict)
    end: float = math.inf  # time.monotonic(), when no further scenario begins
    _began: float = field(default_factory=time.monotonic)
    _folders: int = 0

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began:6.0f} s] {text}", flush=True)

    def new_folder(self) -> Path:
        """Return a path that does not exist yet."""
        self._folders += 1
        return self.folder / f"peer-{self._folders}"

    def look_for_peers(self) -> None:
        if nchan.find() is None:
            self.missing["nchan"] = "install Debian's nginx and libnginx-mod-nchan"
        for program in pythons.PROGRAMS:
            if program.module is not None and not pythons.has(program.module):
                self.missing[program.name] = f"install {pythons.REQUIREMENTS.name}"
