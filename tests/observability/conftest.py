"""One measured system for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from attune.local.postgres import EmbeddedPostgres
from attune.local.redis import EmbeddedRedis
from tests.conftest import _clone, _keep
from tests.observability.measured import Measured, measured_on


@pytest.fixture(scope="module")
def measured(
    postgres: EmbeddedPostgres,
    template: str,
    redis_server: EmbeddedRedis,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Measured]:
    """A web process and a worker, each with its own metrics."""
    for database in _clone(postgres, template):
        with measured_on(database, tmp_path_factory.mktemp("measured")) as system:
            _keep.update(process.pid for process in system.stack.processes.values())
            yield system


@pytest.fixture
def shared(database: str, redis_server: EmbeddedRedis, tmp_path: Path) -> Iterator[Measured]:
    """The same with one folder for the metrics of both."""
    with measured_on(database, tmp_path, PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "m")) as system:
        yield system
