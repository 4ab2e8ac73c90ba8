import asyncio
import time
from collections.abc import Iterator

from streaming.pace import LONG_TURN_SECONDS, Pace

STEPS = 60


class Round:
    """A round of steps, and what the event loop does beside it."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self.turns = 0

    def steps(self) -> Iterator[None]:
        for _ in range(STEPS):
            time.sleep(LONG_TURN_SECONDS / 10)
            yield
        self.done.set()

    async def beside(self, busy_seconds: float) -> None:
        while not self.done.is_set():
            self.turns += 1
            time.sleep(busy_seconds)
            await asyncio.sleep(0)


async def test_a_round_lets_the_loop_go_on_after_each_step() -> None:
    # A turn in which the machine did something else counts as a long one: best of three.
    assert max([await _turns(busy_seconds=0.0) for _ in range(3)]) >= STEPS


async def test_a_round_takes_as_long_as_a_long_turn_so_that_a_storm_does_not_stretch_it() -> None:
    assert await _turns(busy_seconds=LONG_TURN_SECONDS * 4) < STEPS / 4


async def _turns(*, busy_seconds: float) -> int:
    round_ = Round()
    pace = Pace(round_.steps)
    beside = asyncio.create_task(round_.beside(busy_seconds))
    await asyncio.sleep(0)
    pace.request()
    await beside
    pace.close()
    return round_.turns
