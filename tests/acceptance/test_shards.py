"""A system whose events go through two Redis servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples

from attune.local.postgres import EmbeddedPostgres
from attune.local.redis import EmbeddedRedis
from tests.acceptance.test_list_and_stream import CHANGES, FEW, FILTERS, check, tokens_of
from tests.conftest import _clone, _keep
from tests.rows import add_execution, set_status
from tests.servers import Stack, running_stack
from tests.sse_client import open_stream


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[EmbeddedRedis]]:
    folder: Path = tmp_path_factory.mktemp("shards")
    started = [EmbeddedRedis(folder / f"redis{number}") for number in range(2)]
    try:
        for server in started:
            server.start()
        yield started
    finally:
        for server in started:
            server.close()


@pytest.fixture(scope="module")
def sharded(
    postgres: EmbeddedPostgres,
    template: str,
    servers: list[EmbeddedRedis],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    urls = ",".join(server.url for server in servers)
    for database in _clone(postgres, template):
        with running_stack(database, tmp_path_factory.mktemp("stack"), redis_url=urls) as stack:
            yield stack


@pytest.fixture(scope="module")
def sharded_tokens(sharded: Stack) -> dict[str, str]:
    return tokens_of(sharded)


@examples(max_examples=15, **FEW)
@given(FILTERS, CHANGES, CHANGES, CHANGES)
def test_it_tells_by_a_stream_what_a_later_list_shows(
    sharded: Stack,
    sharded_tokens: dict[str, str],
    filters: dict[str, list[Any]],
    before: list[Any],
    between: list[Any],
    after: list[Any],
) -> None:
    check(sharded, sharded_tokens, filters, before, between, after)


def test_it_keeps_order_over_shards_and_goes_on_while_one_is_down(
    sharded: Stack, servers: list[EmbeddedRedis]
) -> None:
    with sharded.sql() as conn, open_stream(sharded.stream_url, sharded.token()) as stream:
        executions = [add_execution(conn, f"{pack}.run") for pack in ("alpha", "beta")]
        told = [stream.next()["entity_id"] for _ in range(2)]
        assert told == executions
        servers[1].stop()
        try:
            for status in ("scheduled", "running", "completed"):
                for execution in executions:
                    set_status(conn, execution, status)
                told = [
                    (e["entity_id"], e["data"]["status"]) for e in (stream.next(), stream.next())
                ]
                assert told == [(execution, status) for execution in executions]
        finally:
            servers[1].start()
            _keep.add(servers[1].pid)
    sharded.wait_ready()
