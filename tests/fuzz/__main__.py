"""`make fuzz`: 100,000 made-up requests and more, half to uvicorn and half to daphne."""

from __future__ import annotations

import argparse
import sys
import time

from bench.stack import bench_stack
from tests.fuzz.check import ENV, fuzz_stack


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    faults = []
    for server in ("uvicorn", "daphne"):
        with bench_stack(server=server, env=ENV) as stack:
            began = time.monotonic()
            outcome = fuzz_stack(stack, seed=options.seed, count=options.requests // 2)
            faults += outcome.faults
            answers = ", ".join(
                f"{status}: {n:,}" for status, n in sorted(outcome.statuses.items())
            )
            seconds = time.monotonic() - began
            print(f"{server}, seed {options.seed}, {seconds:.0f} s: {answers}", flush=True)
    for fault in faults[:20]:
        print(fault, file=sys.stderr)
    print(f"{len(faults)} faults")
    return 1 if faults else 0


sys.exit(main())
