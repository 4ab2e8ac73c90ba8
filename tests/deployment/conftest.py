"""One deployed system for all proxies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from attune.local.postgres import EmbeddedPostgres
from attune.local.redis import EmbeddedRedis
from tests.conftest import _clone, _keep
from tests.deployment.deployed import WEBS, Deployed, deployed_on
from tests.deployment.examples import open_folder
from tests.servers import wait_for


@pytest.fixture(scope="module")
def _deployed(
    postgres: EmbeddedPostgres, template: str, redis_server: EmbeddedRedis
) -> Iterator[Deployed]:
    for database in _clone(postgres, template):
        with deployed_on(database, redis_server.url, open_folder("deployed")) as deployed:
            yield deployed


@pytest.fixture
def deployed(_deployed: Deployed) -> Iterator[Deployed]:
    """A system that is ready, and has no streams left when the test is over."""
    wait_for(lambda: _deployed.is_ready(*WEBS), "the web processes to be ready")
    yield _deployed
    wait_for(lambda: _deployed.is_ready(*WEBS), "the web processes to be ready")
    wait_for(lambda: _deployed.streams(*WEBS) == 0, "every stream to be freed")
    _keep.update(process.pid for process in _deployed.stack.processes.values())
