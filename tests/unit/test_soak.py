"""The rule of the soak finds what grows, and nothing else."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from bench.faults.outcome import Outcome
from bench.soak import report
from bench.soak.flat import COUNT, MEMORY_MIB, judge
from bench.soak.run import Plan, Result

HOUR = [10.0 * n for n in range(360)]
NAME = "web0 PSS MiB"


def test_it_takes_noise_and_a_warm_up_for_flat() -> None:
    chance = random.Random(1)
    points = [(at, 90 + min(30.0, at / 20) + chance.uniform(-3, 3)) for at in HOUR]
    flat = judge(NAME, points)
    assert flat.flat
    assert flat.limit == pytest.approx(0.05 * flat.second)
    assert flat.highest == max(value for _, value in points)


def test_it_finds_a_slow_leak() -> None:
    leak = judge(NAME, [(at, 60 + 10 * at / 3600) for at in HOUR])
    assert not leak.flat
    assert leak.slope_per_hour == pytest.approx(10)
    assert leak.limit == MEMORY_MIB


def test_it_is_not_misled_by_a_peak() -> None:
    points = [(at, 500.0 if at > 3500 else 90.0) for at in HOUR]
    assert judge(NAME, points).flat


def test_it_finds_descriptors_that_stay_open() -> None:
    assert not judge("worker0 descriptors", [(at, 20 + at // 600) for at in HOUR]).flat
    steady = judge("worker0 descriptors", [(at, 20 + at % 3) for at in HOUR])
    assert steady.flat and steady.limit == COUNT


def test_it_is_less_strict_while_a_process_is_warming_up() -> None:
    minute = [(at / 60, 60 + 10 * at / 3600) for at in HOUR]
    assert judge(NAME, minute).flat


def test_a_soak_fails_by_each_of_its_parts() -> None:
    chapter = Outcome("chapter 1", "", 1)
    good = Result(Plan(60, 1), chapters=[chapter], flats=[judge(NAME, [(at, 9.0) for at in HOUR])])
    assert good.passed and report.trouble(good) == ""
    grown = judge(NAME, [(at, at) for at in HOUR])
    lost = replace(chapter, failure="x")
    for bad in (
        replace(good, chapters=[]),
        replace(good, chapters=[chapter, lost]),
        replace(good, flats=[grown]),
        replace(good, failures=["web0 ended in chapter 1"]),
        replace(good, wrong_answers={"packs: 500": 1}),
    ):
        assert not bad.passed
        assert "FAILED" in report.page(bad, machine={})
