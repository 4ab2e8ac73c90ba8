"""The short form of `make soak`: its chapters, its books and its figures."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from attune.local.postgres import EmbeddedPostgres
from bench.faults.system import Cluster
from bench.soak import report
from bench.soak.run import Plan, run
from bench.soak.strikes import STRIKES


@pytest.mark.timeout(300)
def test_it_loses_nothing_over_several_chapters(
    postgres: EmbeddedPostgres, template: str, tmp_path: Path
) -> None:
    plan = Plan(
        seconds=14.0,
        seed=random.getrandbits(32),
        chapter_seconds=6.0,
        least_chapters=2,
        strike_seconds=2.0,
        calm_seconds=2.0,
        rate=40.0,
        requests_rate=10.0,
        steady_clients=8,
        coming_clients=4,
    )
    result = run(plan, STRIKES, Cluster(postgres, template), tmp_path / "soak")
    assert result.failures == [], result.failures
    assert all(chapter.passed for chapter in result.chapters), result.chapters
    assert result.wrong_answers == {}
    # It was a test at all.
    assert len(result.chapters) >= plan.least_chapters
    assert all(c.changes > 50 and c.deliveries > 3 * c.changes for c in result.chapters)
    assert result.struck.total() >= 1
    assert result.answers.total() > 20
    # What grows has a name; that it does not is for longer runs to say.
    names = {flat.name for flat in result.flats}
    assert names >= {
        "web0 PSS MiB",
        "web0 descriptors beside streams",
        "web0 tasks beside streams",
        "web0 threads",
        "worker0 PSS MiB",
        "worker0 descriptors",
        "connections of attune hub",
        "connections of attune worker",
    }
    assert all(point[1] > 10 for point in result.series["web0 PSS MiB"])
    document = json.loads(report.as_json(result, machine={}))
    assert len(document["chapters"]) == len(result.chapters)
    assert "| lost | 0 |" in report.page(result, machine={})
