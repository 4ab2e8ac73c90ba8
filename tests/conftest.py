"""Real servers for every test: PostgreSQL and Redis once a run, a fresh database a test."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import psutil
import psycopg
import pytest
from psycopg import sql

from attune.local.postgres import EmbeddedPostgres
from attune.local.redis import EmbeddedRedis
from tests import settings
from tests.servers import PROJECT, Stack, StartStack, product_env, running_stack, wait_for

# A deadline would measure the machine, not the code.
hypothesis.settings.register_profile("attune", deadline=None, print_blob=True)
hypothesis.settings.load_profile("attune")

OPTIONS = {
    # Durability costs time and proves nothing here: no test takes the power away.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "300",
    # Small enough for a test to fill it.
    "max_notify_queue_pages": "256",
}

_keep: set[int] = set()  # processes of the whole run, by id


def pytest_configure() -> None:
    """Have Ctrl-C reach what tests start, also where a shell runs all this in the background."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            handler = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(settings.POSTGRES, options=OPTIONS)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(settings.REDIS)
    server.start()
    _keep.add(server.pid)
    yield server
    server.close()


@pytest.fixture(scope="session", autouse=True)
def _remove_folder() -> Iterator[None]:
    yield
    shutil.rmtree(settings.FOLDER, ignore_errors=True)


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    """The name of a migrated, empty database to clone."""
    postgres.create_database(settings.TEMPLATE)
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        env=product_env(postgres.url(settings.TEMPLATE)),
        cwd=PROJECT,
        check=True,
    )
    return settings.TEMPLATE


@pytest.fixture(scope="session")
def django_db_modify_db_settings(template: str, redis_server: EmbeddedRedis) -> None:
    """pytest-django's hook before it makes the test database: have what it is made from."""


def _clone(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    name = f"attune_{uuid4().hex[:12]}"
    postgres.create_database(name, template=template)
    yield postgres.url(name)
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """The URL of a database of the test's own."""
    yield from _clone(postgres, template)


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A plain connection in autocommit to the test's own database."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def _session_database(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    yield from _clone(postgres, template)


@pytest.fixture(scope="session")
def _session_stack(_session_database: str, redis_server: EmbeddedRedis) -> Iterator[Stack]:
    with running_stack(_session_database, settings.FOLDER / "stack") as stack:
        _keep.update(process.pid for process in stack.processes.values())
        yield stack


@pytest.fixture
def stack(_session_stack: Stack) -> Iterator[Stack]:
    """A running system, shared by the run: look only at executions of your own."""
    yield _session_stack
    for process in _session_stack.processes.values():
        assert process.child.poll() is None, f"{process.name} ended:\n{process.output}"
    wait_for(lambda: _session_stack.metric("attune_streams") == 0, "every stream to be freed")


@pytest.fixture
def start_stack(database: str, redis_server: EmbeddedRedis, tmp_path: Path) -> Iterator[StartStack]:
    """What starts a running system of the test's own; takes what `running_stack` does."""
    with ExitStack() as stacks:
        yield lambda **web: stacks.enter_context(running_stack(database, tmp_path, **web))


@pytest.fixture
def own_stack(start_stack: StartStack) -> Stack:
    """A running system of the test's own, to be mistreated."""
    return start_stack()


@pytest.fixture(scope="module")
def module_stack(
    postgres: EmbeddedPostgres,
    template: str,
    redis_server: EmbeddedRedis,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[StartStack]:
    """The same for all tests of a module, which leave it as it was; a database each time."""
    with ExitStack() as stacks:

        def start(**web: str) -> Stack:
            database = stacks.enter_context(contextmanager(_clone)(postgres, template))
            folder = tmp_path_factory.mktemp("stack")
            stack = stacks.enter_context(running_stack(database, folder, **web))
            _keep.update(process.pid for process in stack.processes.values())
            return stack

        yield start


@pytest.fixture(autouse=True)
def _no_leaks() -> Iterator[None]:
    """Fail where a test leaves a thread or a process behind."""
    threads = set(threading.enumerate())
    this = psutil.Process()
    children = {child.pid for child in this.children(recursive=True)}
    yield
    wait_for(lambda: _left_threads(threads) == [], f"threads to end: {_left_threads(threads)}")
    left = [c for c in this.children(recursive=True) if c.pid not in children | _keep]
    assert left == [], f"processes left behind: {left}"


def _left_threads(before: set[threading.Thread]) -> list[threading.Thread]:
    # asyncio's own pool for name lookups ends with the loop; tests' loops end with them.
    return [
        thread
        for thread in threading.enumerate()
        if thread not in before and not thread.daemon and not thread.name.startswith("asyncio_")
    ]


def pytest_itemcollected(item: pytest.Item) -> None:
    if isinstance(item, pytest.Function) and asyncio.iscoroutinefunction(item.obj):
        item.fixturenames.insert(0, "_no_tasks")


@pytest.fixture
async def _no_tasks() -> Any:
    """Fail where an asyncio test leaves a task behind."""
    yield
    current = asyncio.current_task()
    left = [task for task in asyncio.all_tasks() if task is not current and not task.done()]
    assert left == [], f"tasks left behind: {left}"
