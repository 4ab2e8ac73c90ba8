"""`python -m bench`: the whole suite, or parts of it. docs/benchmarks.md has what came out."""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench import machine, ours, plots, report
from bench.loadclient import BUILD, build
from bench.outcome import Outcome, Table
from bench.plan import ALL, FULL, MINUTES, QUICK, Bench
from bench.scenarios import (
    fanout,
    filters,
    idle,
    latency,
    saturation,
    selective,
    sequencer,
    storm,
    sweep,
    twoweb,
    writer,
)
from tests.servers import PROJECT

SERVERS = ("uvicorn", "daphne")
# On a stack that is running, with each server.
ON_STACK: dict[str, Callable[..., Outcome]] = {
    "fanout": fanout.run,
    "saturation": saturation.run,
    "selective": selective.run,
    "filters": filters.run,
    "twoweb": twoweb.run,
    "idle": idle.run,
    "storm": storm.run,
    "sweep": sweep.run,
}
ALONE: dict[str, Callable[[Bench], Outcome]] = {"writer": writer.run, "sequencer": sequencer.run}
FILES_BESIDE = 100  # open in a server or the load client, beside those of streams
DOCUMENT = PROJECT / "docs" / "benchmarks.md"


class Suite:
    """Runs scenarios and keeps what they give. One that fails is reported as failed."""

    def __init__(self, benches: dict[str, Bench]) -> None:
        self._benches = benches  # by server
        self.outcomes: dict[str, Outcome] = {}

    def run(self, only: Collection[str]) -> None:
        wanted = {
            server: [name for name in bench.plan.scenarios if not only or name in only]
            for server, bench in self._benches.items()
        }
        for server, names in wanted.items():
            self._run_on_stack(server, [name for name in names if name in ON_STACK])
        for server, bench in self._benches.items():
            if "latency" in wanted[server]:
                self._take("latency", server, partial(latency.run, bench, server))
        for name, scenario in ALONE.items():
            if name in wanted.get(SERVERS[0], ()):
                self._take(name, SERVERS[0], partial(scenario, self._benches[SERVERS[0]]))

    def _run_on_stack(self, server: str, names: Sequence[str]) -> None:
        if not names:
            return
        with ours.running(server) as attune:
            for name in names:
                self._take(name, server, partial(ON_STACK[name], self._benches[server], attune))

    def _take(self, name: str, server: str, scenario: Callable[[], Outcome]) -> None:
        try:
            if time.monotonic() > self._benches[server].end:
                outcome = Outcome(f"{name} on {server}: left out, out of time", Table((name,)))
            else:
                outcome = scenario()
        except Exception:
            traceback.print_exc()
            outcome = Outcome(f"{name} on {server}: failed", Table((name,)))
        if server != SERVERS[0]:
            outcome.figures = {f"{key}@{server}": value for key, value in outcome.figures.items()}
        known = self.outcomes.get(name)
        if known is not None and known.table.columns == outcome.table.columns:
            known.add(outcome)
        else:
            self.outcomes[name if known is None else f"{name}@{server}"] = outcome


def main() -> int:
    options = _options()
    machine.prepare()
    load = machine.load()
    build()
    plans = QUICK if options.quick else FULL
    end = time.monotonic() + 60 * (options.minutes or MINUTES[plans])
    if options.sweep:
        plans = (replace(plans[0], sweep=tuple(options.sweep)), *plans[1:])
    with tempfile.TemporaryDirectory(prefix="attune-bench-peers-") as name:
        benches = {
            server: Bench(plan, Path(name), end=end)
            for server, plan in zip(SERVERS, plans, strict=True)
            if server in options.servers
        }
        first = next(iter(benches.values()))
        first.look_for_peers()
        suite = Suite(benches)
        suite.run(options.only or ())
        facts = machine.describe(Path(name), load_before=load)
    _write(options, suite, first, facts)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="smaller and shorter, once")
    parser.add_argument("--only", nargs="+", choices=ALL, help="these scenarios alone")
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=SERVERS)
    parser.add_argument(
        "--sweep", nargs="+", type=number_of_clients, metavar="N", help="numbers of clients"
    )
    parser.add_argument("--minutes", type=float, help="no scenario begins after so many")
    parser.add_argument("--json", type=Path, default=BUILD / "results.json")
    parser.add_argument("--docs", action="store_true", help=f"write docs/{DOCUMENT.name}")
    return parser.parse_args()


def number_of_clients(text: str) -> int:
    """Return it, if that many files may be open: each takes one in load client and server."""
    spare = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - FILES_BESIDE
    if not 1 <= (clients := int(text)) <= spare:
        raise argparse.ArgumentTypeError(f"{clients}: 1 to {spare} here, by `ulimit -Hn`")
    return clients


def _write(options: argparse.Namespace, suite: Suite, first: Bench, facts: dict[str, str]) -> None:
    missing = first.missing
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(report.as_json(suite.outcomes, machine=facts, missing=missing))
    folder = DOCUMENT.parent / "img" if options.docs else BUILD / "img"
    drawn = plots.draw(suite.outcomes, folder)
    page = report.page(
        suite.outcomes,
        machine=facts,
        missing=missing,
        how=_how(options, first),
        plots=[(title, path.relative_to(folder.parent)) for title, path in drawn],
    )
    print(page)
    if options.docs:
        DOCUMENT.write_text(report.between_marks(DOCUMENT.read_text(encoding="utf-8"), page))
    print(f"All runs: {options.json}")


def _how(options: argparse.Namespace, first: Bench) -> str:
    if options.quick:
        return "Quick form: one run, and fewer clients, events and peers than the targets name."
    return f"Medians of {first.plan.runs} runs; losses are added up."


if __name__ == "__main__":
    sys.exit(main())
