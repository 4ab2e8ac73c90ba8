"""The short form of `make faults`: what is promised holds while things break."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from attune.local.postgres import EmbeddedPostgres
from bench.faults.checker import KINDS
from bench.faults.scenarios import SCENARIOS, SHORT
from bench.faults.system import Cluster
from bench.faults.trial import run
from tests.programs import program

# A fault is over within seconds here; the long form waits for rarer things.
RECOVERY_SECONDS = 15.0


def need_hosts() -> None:
    program("ip")
    if os.geteuid() != 0:
        pytest.skip("needs root, for network namespaces")


NEEDS = {"machines-brief": need_hosts, "redis-failover": lambda: program("redis-sentinel")}


@pytest.mark.parametrize("name", SHORT)
def test_it_loses_and_repeats_nothing(
    name: str, postgres: EmbeddedPostgres, template: str, tmp_path: Path
) -> None:
    NEEDS.get(name, lambda: None)()
    scenario = replace(SCENARIOS[name], before=1.0, after=1.5)
    # pytest-randomly seeds `random` and prints with what; `-p randomly -p "randomly_seed=…"`.
    seed = random.getrandbits(32)
    outcome = run(scenario, Cluster(postgres, template), tmp_path / name, seed=seed, repeats=1)
    assert (outcome.reason_not_run, outcome.failure) == (None, None), outcome
    assert {kind: outcome.counts[kind] for kind in KINDS} == dict.fromkeys(KINDS, 0), outcome
    # It was a test at all: much was written, and everything came to several clients.
    assert outcome.changes > 100
    assert outcome.events == outcome.changes
    assert outcome.deliveries > 3 * outcome.changes
    assert outcome.connects > 15
    assert outcome.recovery and max(outcome.recovery) < RECOVERY_SECONDS
    assert outcome.passed
