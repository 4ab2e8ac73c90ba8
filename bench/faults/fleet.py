"""The clients of one scenario, as the scenario sees them: a child process behind a pipe."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.faults.clients import ClientSpec
from bench.faults.facts import Item, Received, Reset, Watch
from tests.servers import PROJECT


@dataclass(frozen=True, slots=True)
class Member:
    """A client of the fleet, and what it has to get."""

    spec: ClientSpec
    watch: Watch
    healthy: bool = False  # takes part in the times


@dataclass
class Harvest:
    """What all clients received, and what happened to their connections."""

    received: list[Received]
    healthy: list[Received]
    connects: int
    statuses: Counter[str]
    closes: Counter[str]
    troubles: Counter[str]

    @property
    def deliveries(self) -> int:
        return sum(1 for client in self.received for item in client.items if item.execution)


class Fleet:
    """Starts the process of the clients; leaving the context ends it."""

    def __init__(self, folder: Path, *, place: Sequence[str] = ()) -> None:
        self._folder = folder
        self._place = [*place]  # what its command line begins with
        self._members: list[Member] = []

    def __enter__(self) -> Fleet:
        self._log = (self._folder / "clients.log").open("wb")
        self._child = subprocess.Popen(
            [*self._place, sys.executable, "-m", "bench.faults.clientprocess"],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,  # a Ctrl-C is ours to handle
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.close()  # which it ends by
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child.stdout.close()
        self._log.close()

    def open(self, members: list[Member], addresses: list[tuple[str, int]]) -> None:
        """Start these clients; returns once all of them are connected."""
        self._members += members
        specs = [asdict(member.spec) for member in members]
        self._call("open", specs=specs, addresses=addresses)

    def cut(self) -> None:
        """Drop all connections in the same moment."""
        self._call("cut")

    def drain(self) -> None:
        self._call("drain")

    def positions(self) -> list[int]:
        found: list[int] = self._call("positions")
        return found

    def renew(self, tokens: Mapping[str, str]) -> None:
        """Hand out new tokens, new ones by old ones."""
        self._call("renew", tokens=dict(tokens))

    def collect(self) -> Harvest:
        """End all clients and return what they went through."""
        return self._harvest("collect")

    def turn(self) -> Harvest:
        """Return what all clients went through since the last time, and let them go on."""
        return self._harvest("turn")

    def _harvest(self, do: str) -> Harvest:
        file = self._folder / "clients.json"
        self._call(do, file=str(file))
        members = {member.spec.name: member for member in self._members}
        harvest = Harvest([], [], 0, Counter(), Counter(), Counter())
        for life in json.loads(file.read_text(encoding="utf-8")):
            member = members[life["name"]]
            received = _received(life, member.watch)
            harvest.received.append(received)
            if member.healthy:
                harvest.healthy.append(received)
            harvest.connects += life["connects"]
            harvest.statuses.update(life["statuses"])
            harvest.closes.update(life["closes"])
            harvest.troubles.update(life["troubles"])
        file.unlink()
        return harvest

    def _call(self, do: str, **values: Any) -> Any:
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.write(json.dumps({"do": do, **values}).encode() + b"\n")
        self._child.stdin.flush()
        answer = self._child.stdout.readline()
        if not answer:
            log = (self._folder / "clients.log").read_text(errors="replace")
            raise RuntimeError(f"the clients' process has ended at {do!r}:\n{log[-4000:]}")
        return json.loads(answer)


def _received(life: Mapping[str, Any], watch: Watch) -> Received:
    return Received(
        life["name"],
        watch,
        life["start"],
        life["since"],
        items=[Item(*item) for item in life["items"]],
        resets=[Reset(*reset) for reset in life["resets"]],
        epochs=frozenset(life["epochs"]),
        known={int(execution): version for execution, version in life["known"].items()},
        whole=life["whole"],
        end=life["end"],
    )
