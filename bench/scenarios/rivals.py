"""The peers of a scenario, each started for one use and stopped again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

from bench.peers import nchan, pythons
from bench.plan import Bench
from bench.servers import Server

Start = Callable[[], AbstractContextManager[Server]]


def rivals(bench: Bench, *names: str) -> dict[str, Start]:
    """Return those of the named peers that the plan wants and that are here."""
    starts: dict[str, Start] = {"nchan": partial(nchan.running, bench.new_folder)}
    for program in pythons.PROGRAMS:
        starts[program.name] = partial(pythons.running, program, bench.new_folder)
    return {
        name: starts[name]
        for name in names
        if name in bench.plan.peers and name not in bench.missing
    }
