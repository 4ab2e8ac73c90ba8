"""The files of `deploy/`, run by the programs that they are for: only addresses are replaced."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from attune.local.processes import spawn, stop
from tests import settings
from tests.servers import PROJECT, Process, wait_for

DEPLOY = PROJECT / "deploy"


def rendered(name: str, replaced: Mapping[str, str]) -> str:
    """Return the file with every key replaced by its value; a key that is not there fails."""
    text = (DEPLOY / name).read_text(encoding="utf-8")
    for old, new in replaced.items():
        assert old in text, f"{name} has no {old!r}"
        text = text.replace(old, new)
    return text


def open_folder(name: str) -> Path:
    """Make a folder where programs may read that have given up root; pytest's own are closed."""
    folder = settings.FOLDER / f"{name}-{uuid4().hex[:8]}"
    folder.mkdir(mode=0o755)
    settings.FOLDER.chmod(0o755)
    return folder


@contextmanager
def running(
    command: Sequence[str], log: Path, *, port: int, env: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Run a program in the foreground, from when it listens to the end of the context."""
    with log.open("ab") as output:
        process = Process(Path(command[0]).name, spawn(command, env=env, output=output), log)

    def listens() -> bool:
        assert process.child.poll() is None, f"{process.name} ended:\n{process.output}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_for(listens, f"{process.name} to listen")
        yield process
    finally:
        stop(process.child, seconds=5.0)
