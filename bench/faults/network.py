"""Hosts of their own on one machine: network namespaces on a bridge, and links that can be cut.

Everything lives in a network that this process enters for the time, and in processes that hold the
hosts' namespaces: nothing is left when they end. Needs root and Debian's `iproute2`.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from attune.local.processes import spawn
from bench.faults.system import NotPossible
from tests.servers import wait_for

CLONE_NEWNET = 0x40000000  # man 2 clone
NETWORK = "10.77.0.0/24"
BRIDGE_ADDRESS = "10.77.0.1/24"
NOBODY = "02:00:00:00:00:01"  # no host has it: what is sent there is lost without a word


class Network:
    """Hosts by name, each with an address; `close` leaves the network and ends it."""

    def __init__(self, names: Sequence[str]) -> None:
        if os.geteuid() != 0:
            raise NotPossible("needs root, for network namespaces")
        if shutil.which("ip") is None:
            raise NotPossible("needs ip (Debian: apt-get install iproute2)")
        self.addresses = {name: f"10.77.0.{n}" for n, name in enumerate(names, 11)}
        self._holders: dict[str, subprocess.Popen[bytes]] = {}
        self._outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self._libc = ctypes.CDLL(None, use_errno=True)
        if self._libc.unshare(CLONE_NEWNET) != 0:
            os.close(self._outside)
            raise NotPossible(f"no network namespace to be had: {os.strerror(ctypes.get_errno())}")
        try:
            _ip("link set lo up", "link add bridge0 type bridge", "link set bridge0 up")
            _ip(f"address add {BRIDGE_ADDRESS} dev bridge0")
            for name in names:
                self._add(name)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for holder in self._holders.values():
            holder.kill()
            holder.wait()
        if self._libc.setns(self._outside, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "cannot leave the network")
        os.close(self._outside)

    def place(self, name: str) -> list[str]:
        """Return what a command line begins with, so that it runs on that host."""
        return ["nsenter", f"--net={self._namespace(name)}", "--"]

    def cut(self, one: str, other: str) -> None:
        """Lose all that these two send each other."""
        for here, there in ((one, other), (other, one)):
            neighbour = f"{self.addresses[there]} lladdr {NOBODY} dev eth0 nud permanent"
            _ip(f"neighbour replace {neighbour}", place=self.place(here))

    def heal(self, one: str, other: str) -> None:
        for here, there in ((one, other), (other, one)):
            _ip(f"neighbour del {self.addresses[there]} dev eth0", place=self.place(here))

    def unplug(self, name: str) -> None:
        """Lose all that this host sends, and is sent."""
        _ip(f"link set {name} down")

    def plug_in(self, name: str) -> None:
        _ip(f"link set {name} up")

    def _add(self, name: str) -> None:
        holder = self._holders[name] = spawn(["unshare", "--net", "sleep", "infinity"])
        ours = os.readlink("/proc/thread-self/ns/net")

        def entered() -> bool:
            assert holder.poll() is None, f"no network namespace for {name}"
            return os.readlink(self._namespace(name)) != ours

        wait_for(entered, f"the namespace of {name}")
        _ip(
            f"link add {name} type veth peer name eth0 netns {holder.pid}",
            f"link set {name} master bridge0 up",
        )
        _ip(
            "link set lo up",
            f"address add {self.addresses[name]}/24 dev eth0",
            "link set eth0 up",
            place=self.place(name),
        )

    def _namespace(self, name: str) -> Path:
        return Path(f"/proc/{self._holders[name].pid}/ns/net")


def _ip(*lines: str, place: Sequence[str] = ()) -> None:
    command = [*place, "ip", "-batch", "-"]
    subprocess.run(command, input="\n".join(lines), text=True, check=True)
