"""The process that all clients of a scenario run in: `python -m bench.faults.clientprocess`.

Driven over stdin and stdout, one JSON object a line; `fleet.py` is the other end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.faults.clients import CONNECT_SECONDS, NEVER_READING, Client, ClientSpec, Life, Mute

OPEN_AT_ONCE = 20


class Clients:
    """All clients of the process, by what the other end of the pipe asks for."""

    def __init__(self) -> None:
        self._clients: list[Client] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self, specs: list[dict[str, Any]], addresses: list[tuple[str, int]]) -> int:
        """Start the clients and wait until each has been told that it is connected."""
        limit = asyncio.Semaphore(OPEN_AT_ONCE)

        async def start(spec: ClientSpec) -> None:
            client = (Mute if spec.pace == NEVER_READING else Client)(spec, addresses)
            async with limit:
                self._clients.append(client)
                self._tasks.append(asyncio.create_task(client.run(), name=spec.name))
                async with asyncio.timeout(CONNECT_SECONDS):
                    await client.connected.wait()

        await asyncio.gather(*(start(ClientSpec(**spec)) for spec in specs))
        return len(self._clients)

    async def cut(self) -> int:
        """Drop every connection in the same moment."""
        for client in self._clients:
            client.cut()
        return len(self._clients)

    async def drain(self) -> int:
        """Let all read as fast as they can, and nobody hang up any more."""
        for client in self._clients:
            client.draining = True
        return len(self._clients)

    async def positions(self) -> list[int]:
        """Return where those are that read at all."""
        return [client.position for client in self._readers()]

    async def collect(self, file: str) -> int:
        """End all clients and write what they went through into `file`."""
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        for client, error in zip(self._clients, ended, strict=True):
            if not isinstance(error, asyncio.CancelledError):
                client.life.troubles[f"ended by itself: {error!r}"] += 1
        return _write(file, [life for client in self._readers() for life in client.lives])

    async def turn(self, file: str) -> int:
        """Write what they went through so far into `file`, and let all go on from there."""
        return _write(file, [life for client in self._readers() for life in client.turn()])

    async def renew(self, tokens: dict[str, str]) -> int:
        """Hand out new tokens, new ones by old ones, for the next time that each connects."""
        for client in self._clients:
            token = tokens.get(client.spec.token, client.spec.token)
            client.spec = replace(client.spec, token=token)
        return len(self._clients)

    def _readers(self) -> list[Client]:
        return [client for client in self._clients if client.spec.pace != NEVER_READING]


def _write(file: str, lives: list[Life]) -> int:
    begun = [vars(life) for life in lives if life.start >= 0]
    Path(file).write_text(json.dumps(begun), encoding="utf-8")
    return len(begun)


async def _main() -> None:
    """Answer one line with one, until stdin ends: then the other end is gone, or has enough."""
    commands = asyncio.StreamReader(limit=16 * 1024 * 1024)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    clients = Clients()
    while line := await commands.readline():
        call = json.loads(line)
        answer = await getattr(clients, call.pop("do"))(**call)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
