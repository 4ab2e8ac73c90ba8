"""The short form of `make fuzz`."""

from __future__ import annotations

import pytest

from tests.fuzz.check import ENV, fuzz_stack
from tests.servers import SERVERS, StartStack


@pytest.mark.parametrize("server", sorted(SERVERS))
def test_it_stands_made_up_requests(start_stack: StartStack, server: str) -> None:
    own_stack = start_stack(server=server, **ENV)
    outcome = fuzz_stack(own_stack, seed=1, count=600)
    assert outcome.faults == []
    assert {200, 400, 401, 404} <= set(outcome.statuses)
