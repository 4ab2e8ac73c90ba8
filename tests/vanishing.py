"""Clients that vanish without a word: `python -m tests.vanishing DATABASE_URL FOLDER`.

Runs each web server, with one client, in a network of their own, pulls the network's plug, and
prints after how many seconds each server had let go of its client. PostgreSQL, Redis and the
worker are elsewhere, behind Unix sockets. Needs root, or a kernel that lets everybody make user
namespaces.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from tests.servers import SERVERS, Stack, product_env, wait_for
from tests.sse_client import open_stream

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # man 2 clone
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1  # man 7 netdevice
ESTABLISHED = "01"  # include/net/tcp_states.h
LIMIT_SECONDS = 60.0


def enter_network() -> None:
    """Move this process into a network of its own; raises OSError where it may not."""
    libc = ctypes.CDLL(None, use_errno=True)
    flags = CLONE_NEWNET if os.geteuid() == 0 else CLONE_NEWNET | CLONE_NEWUSER
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "no network namespace to be had")


def set_loopback(*, up: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        asked = fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        (_, flags) = struct.unpack("16sH14x", asked)
        flags = flags | IFF_UP if up else flags & ~IFF_UP
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags))


def connected(port: int) -> bool:
    """Say whether the kernel still holds an accepted connection to our server on `port`."""
    lines = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return any(
        int(local.partition(":")[2], 16) == port and state == ESTABLISHED
        for _, local, _, state, *_ in lines
    )


def main(database_url: str, folder: str) -> None:
    enter_network()
    set_loopback(up=True)
    stacks = {
        name: Stack(database_url, Path(folder), product_env(database_url)) for name in SERVERS
    }
    with ExitStack() as cleanup:
        for name, stack in stacks.items():
            cleanup.callback(stack.stop)
            stack.start_web(server=name)
            stack.wait_ready()
            cleanup.enter_context(open_stream(stack.stream_url, stack.token()))
        assert all(stack.metric("attune_streams") == 1 for stack in stacks.values())
        set_loopback(up=False)
        pulled, freed = time.monotonic(), dict[str, float]()
        while len(freed) < len(stacks) and time.monotonic() - pulled < LIMIT_SECONDS:
            time.sleep(0.1)
            for name, stack in stacks.items():
                if name not in freed and not connected(stack.web_port):
                    freed[name] = time.monotonic() - pulled
        set_loopback(up=True)
        for stack in stacks.values():
            wait_for(lambda s=stack: s.metric("attune_streams") == 0, "the stream to be freed")
        print(json.dumps(freed))


if __name__ == "__main__":
    main(*sys.argv[1:])
