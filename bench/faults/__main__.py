"""`python -m bench.faults`: every fault, with the clients' and the writers' books compared.

Ends with status 1 where anything that has to be zero is not.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from attune.local.postgres import EmbeddedPostgres
from bench.faults import report
from bench.faults.outcome import Outcome
from bench.faults.scenarios import SCENARIOS, SHORT
from bench.faults.system import Cluster
from bench.faults.trial import run
from tests.servers import SERVERS


def main() -> int:
    options = _options()
    if options.list:
        for scenario in SCENARIOS.values():
            print(f"{scenario.name:28}{scenario.what}")
        return 0
    signal.signal(signal.SIGTERM, _interrupt)  # so that everything is stopped
    print(f"seed {options.seed}, {options.server}, NOTIFY {options.notify}", flush=True)
    print(f"again: --seed {options.seed}\n", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="attune-faults-") as name:
        outcomes = _run(options, Path(name))
    print(report.partitions(outcomes))
    print("\n" + report.details(outcomes))
    failed = [o.name for o in outcomes if not o.passed and o.reason_not_run is None]
    not_run = [o.name for o in outcomes if o.reason_not_run is not None]
    print(f"\n{len(outcomes) - len(failed) - len(not_run)} passed in", end=" ")
    print(f"{time.monotonic() - began:.0f} s", end="")
    print(f"; FAILED: {', '.join(failed)}" if failed else "", end="")
    print(f"; not run: {', '.join(not_run)}" if not_run else "")
    if options.json:
        options.json.write_text(report.as_json(outcomes), encoding="utf-8")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.faults", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--only", action="append", choices=list(SCENARIOS), metavar="NAME", help="one scenario"
    )
    parser.add_argument("--short", action="store_true", help=f"only {', '.join(SHORT)}, once")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--server", choices=list(SERVERS), default="daphne")
    parser.add_argument("--notify", choices=("always", "adaptive"), default="always")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the logs here")
    parser.add_argument("--list", action="store_true", help="name the scenarios")
    return parser.parse_args()


def _run(options: argparse.Namespace, folder: Path) -> list[Outcome]:
    names: Sequence[str] = options.only or (SHORT if options.short else list(SCENARIOS))
    outcomes: list[Outcome] = []
    with _cluster(folder, options.notify) as cluster:
        for number, name in enumerate(names):
            outcome = run(
                SCENARIOS[name],
                cluster,
                (options.keep or folder) / name,
                seed=options.seed + number,
                server=options.server,
                repeats=1 if options.short else None,
            )
            if not outcomes:
                print(report.table([]))
            outcomes.append(outcome)
            print(report.row(outcome), flush=True)
    return outcomes


@contextmanager
def _cluster(folder: Path, notify: str) -> Iterator[Cluster]:
    """PostgreSQL with its own defaults, so every commit is on disk."""
    postgres = EmbeddedPostgres(folder / "postgres")
    try:
        postgres.start()
        cluster = Cluster(postgres, notify=notify)
        cluster.migrate()
        yield cluster
    finally:
        postgres.stop()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped")  # everything that was started has been ended by now
