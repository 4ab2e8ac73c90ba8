"""`python -m bench.soak`: load and random faults for as long as asked; nothing is lost, nothing
grows. Ends with status 1 where something was, or did.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from attune.local.postgres import EmbeddedPostgres
from bench import machine
from bench.faults.system import Cluster
from bench.report import between_marks
from bench.soak import report
from bench.soak.run import Plan, Result, run
from bench.soak.strikes import SERVER_STRIKES, STRIKES
from tests.servers import PROJECT, SERVERS

DOCUMENT = PROJECT / "docs" / "soak.md"
PLOT = DOCUMENT.parent / "img" / "soak.svg"


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, _interrupt)  # so that everything is stopped
    print(f"seed {options.seed}, {options.server}, {options.minutes:g} minutes", flush=True)
    print(f"again: --seed {options.seed}\n", flush=True)
    plan = Plan(60 * options.minutes, options.seed, options.server, rate=options.rate)
    load = machine.load()
    with tempfile.TemporaryDirectory(prefix="attune-soak-") as name, _cluster(Path(name)) as one:
        facts = machine.describe(Path(name), load_before=load)
        result = run(plan, STRIKES | SERVER_STRIKES, one, options.keep or Path(name) / "soak")
    _write(options, result, {name: facts[name] for name in ("processor", "cores", "kernel")})
    return 0 if result.passed else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--server", choices=list(SERVERS), default="uvicorn")
    parser.add_argument("--rate", type=float, default=5.0, help="changes a second")
    parser.add_argument("--json", type=Path, default=PROJECT / "var" / "bench" / "soak.json")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the logs here")
    parser.add_argument("--docs", action="store_true", help=f"write docs/{DOCUMENT.name}")
    return parser.parse_args()


def _write(options: argparse.Namespace, result: Result, facts: dict[str, str]) -> None:
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(report.as_json(result, machine=facts), encoding="utf-8")
    page = report.page(result, machine=facts)
    print(f"\n{page}\n\n{report.trouble(result)}\nAll samples: {options.json}", flush=True)
    if options.docs:
        if report.draw(result, PLOT):
            page += f"\n\n![Memory over time]({PLOT.relative_to(DOCUMENT.parent)})"
        text = between_marks(DOCUMENT.read_text(encoding="utf-8"), page + "\n")
        DOCUMENT.write_text(text, encoding="utf-8")


@contextmanager
def _cluster(folder: Path) -> Iterator[Cluster]:
    postgres = EmbeddedPostgres(folder / "postgres")
    try:
        postgres.start()
        cluster = Cluster(postgres)
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
