"""What the collector looks at, and when it looks at everything again."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from streaming.garbage import FEW_STREAMS, Garbage


@dataclass
class Open:
    """So many open streams."""

    count: int
    ended: int = 0

    def __len__(self) -> int:
        return self.count


class Cycle:
    """Garbage as soon as nobody else has it, which only the collector can find out."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def streams() -> Iterator[Open]:
    streams = Open(FEW_STREAMS + 500)
    garbage = Garbage(streams, long_seconds=0)
    garbage.install()
    yield streams
    garbage.remove()
    assert gc.get_freeze_count() == 0


def test_it_sets_aside_what_survives_until_as_many_streams_have_ended(streams: Open) -> None:
    cycle = Cycle()
    alive = weakref.ref(cycle)
    gc.collect()
    del cycle
    gc.collect()
    assert alive() is not None, "it was not set aside"
    streams.ended = len(streams) - 1
    gc.collect()
    assert alive() is not None, "it was looked at too soon"
    streams.ended = len(streams)
    gc.collect()
    assert alive() is None


def test_it_finds_what_is_new(streams: Open) -> None:
    cycle = Cycle()
    alive = weakref.ref(cycle)
    del cycle
    gc.collect()
    assert alive() is None


def test_it_counts_anew_after_it_has_looked_at_everything(streams: Open) -> None:
    streams.ended = len(streams)
    gc.collect()
    cycle = Cycle()
    alive = weakref.ref(cycle)
    gc.collect()
    del cycle
    gc.collect()
    assert alive() is not None
    streams.ended += len(streams)
    gc.collect()
    assert alive() is None


def test_it_leaves_what_a_short_collection_was_about() -> None:
    garbage = Garbage(Open(0), long_seconds=3600)
    garbage.install()
    try:
        before = gc.get_freeze_count()
        kept = [Cycle() for _ in range(100)]
        gc.collect()
        assert gc.get_freeze_count() <= before
        assert kept
    finally:
        garbage.remove()
