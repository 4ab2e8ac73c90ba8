"""attune itself as a server under test: changes by plain SQL, streams from its web process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import machine
from bench.servers import get
from bench.stack import bench_stack
from tests.servers import Stack, wait_for

EXECUTIONS = 5100  # rows to change; no statement changes one twice
SEQUENCED_SECONDS = 60.0

_ADD = """
    INSERT INTO attune.execution (action_ref, status)
    SELECT 'bench.fanout', 'running' FROM generate_series(1, %s) RETURNING id
"""
# One statement for all changes of a tick: the database is not what is measured.
_CHANGE = """
    UPDATE attune.execution SET result = jsonb_build_object('t', %s::bigint) WHERE id = ANY (%s)
"""


class Attune:
    """The web processes `webs` of a stack, and one writer. Not for two threads at a time."""

    first_event = "connected"

    def __init__(self, stack: Stack, name: str) -> None:
        self.name = name
        self.stack = stack
        self.port = stack.web_port
        self.webs = [stack.processes["web"]]
        self._token = stack.token()
        self._conn = stack.sql()
        self.executions = [row[0] for row in self._conn.execute(_ADD, [EXECUTIONS]).fetchall()]
        self._changing = self.executions
        self._next = 0
        self.wait_sequenced()

    @property
    def pids(self) -> list[int]:
        return [web.pid for web in self.webs]

    @property
    def others(self) -> dict[str, list[int]]:
        """The processes beside the web process that a change goes through."""
        with self.stack.sql() as conn:
            (folder,) = conn.execute("SHOW data_directory").fetchone() or ("",)
        postmaster = int(Path(folder, "postmaster.pid").read_text().split()[0])
        return {
            "worker": [self.stack.processes["worker"].pid],
            "PostgreSQL": machine.tree(postmaster),
        }

    def request(self, query: str = "", *, cursor: str | None = None) -> bytes:
        headers = {"Authorization": f"Bearer {self._token}"}
        if cursor is not None:
            headers["Last-Event-ID"] = cursor
        return get(f"/api/v1/executions/stream{query}", port=self.port, headers=headers)

    def change_only(self, executions: list[int]) -> None:
        """Change only these from now on, one after the other."""
        self._changing, self._next = executions, 0

    def publish(self, due: int, changes: int) -> None:
        rows = self._changing
        while changes > 0:
            taken = rows[self._next : self._next + changes]
            self._next = (self._next + len(taken)) % len(rows)
            changes -= len(taken)
            self._conn.execute(_CHANGE, [due, taken])

    def metric(self, name: str) -> float | None:
        """Return a metric of the web process, None where it has no such."""
        try:
            return self.stack.metric(name)
        except StopIteration:
            return None

    def position(self) -> tuple[str, int]:
        """Return epoch and last number of the log."""
        row = self._conn.execute("SELECT epoch, last_seq FROM attune.stream_state").fetchone()
        assert row is not None
        return row[0], row[1]

    def unsequenced(self) -> int:
        row = self._conn.execute("SELECT count(*) FROM attune.execution_inbox").fetchone()
        assert row is not None
        return int(row[0])

    def wait_sequenced(self) -> None:
        wait_for(
            lambda: self.unsequenced() == 0, "the worker to be through", seconds=SEQUENCED_SECONDS
        )

    def add_web(self, **env: str) -> int:
        """Start another web process beside the first, and return its port."""
        self.stack.processes["first web"] = self.stack.processes.pop("web")
        self._start_web(**env)
        port, self.stack.web_port = self.stack.web_port, self.port
        return port

    def end_web(self) -> None:
        """Stop the web process that was added."""
        self.webs.pop()
        self.stack.processes.pop("web").stop()
        self.stack.processes["web"] = self.stack.processes.pop("first web")

    def restart_web(self, **env: str) -> None:
        """Begin anew with a web process that has held no stream yet."""
        self.stack.processes["web"].stop()
        self.webs = []
        self._start_web(**env)
        self.port = self.stack.web_port

    def _start_web(self, **env: str) -> None:
        process = self.stack.start_web(server=self.name.split()[-1], port=0, **env)
        self.stack.wait_ready()
        machine.pin(machine.tree(process.pid), machine.SERVER_CORES)
        self.webs = [*self.webs, process]

    def close(self) -> None:
        self._conn.close()


@contextmanager
def running(server: str, **env: str) -> Iterator[Attune]:
    """Run the whole product; the web process on the server's core, all else on the others."""
    with bench_stack(server=server, env=env) as stack:
        machine.pin(machine.tree(stack.processes["web"].pid), machine.SERVER_CORES)
        attune = Attune(stack, f"attune on {server}")
        try:
            yield attune
        finally:
            attune.close()
