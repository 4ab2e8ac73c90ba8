"""nchan, the push module of nginx: the reference in C.

One worker process, memory store, a buffer so that a subscriber that is a little behind loses
nothing, and no logs. Events are posted to its publisher location, pipelined.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from attune.local.processes import spawn, stop
from bench import machine
from bench.loadclient import BUILD
from bench.peers.publisher import Publisher
from bench.servers import Server, get, payload
from tests.servers import wait_for

PACKAGES = ("nginx", "libnginx-mod-nchan")
UNPACKED = BUILD / "nchan"  # where `install` puts Debian's packages, unpacked
_MODULE = "usr/lib/nginx/modules/ngx_nchan_module.so"
_CONFIGURATION = """
load_module {module};
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections {files}; use epoll; }}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    nchan_shared_memory_size 1024m;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /publish {{
            nchan_publisher;
            nchan_channel_id bench;
            nchan_message_buffer_length 5000;
            nchan_message_timeout 30s;
        }}
        location = /stream {{
            nchan_subscriber eventsource;
            nchan_channel_id bench;
            nchan_subscriber_first_message newest;
        }}
    }}
}}
"""


class Nchan:
    name = "nchan"
    first_event = None

    def __init__(self, port: int, master: int) -> None:
        self.port = port
        self._master = master
        self._publisher = Publisher(port, "/publish")
        self._seq = 0

    @property
    def pids(self) -> list[int]:
        return machine.tree(self._master)

    def request(self, query: str = "", *, cursor: str | None = None) -> bytes:
        return get("/stream", port=self.port)

    def publish(self, due: int, changes: int) -> None:
        first, self._seq = self._seq + 1, self._seq + changes
        self._publisher.post([payload(seq, due) for seq in range(first, self._seq + 1)])


def find() -> tuple[Path, Path] | None:
    """Return nginx and its module, from the system or unpacked by `install`."""
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    for nginx, module in (
        (Path(program or "/usr/sbin/nginx"), Path("/") / _MODULE),
        (UNPACKED / "usr/sbin/nginx", UNPACKED / _MODULE),
    ):
        if nginx.exists() and module.exists():
            return nginx, module
    return None


def install() -> None:
    """Fetch Debian's packages and unpack them beside us: nothing on the system changes."""
    UNPACKED.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "download", *PACKAGES], cwd=UNPACKED, check=True)
    for package in UNPACKED.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(UNPACKED)], check=True)


@contextmanager
def running(new_folder: Callable[[], Path]) -> Iterator[Server]:
    """Run nginx with nchan on the server's core."""
    folder = new_folder()
    found = find()
    assert found is not None, "look with find() first"
    nginx, module = found
    folder.mkdir()
    port = _free_port()
    user = f"user {pwd.getpwuid(os.getuid()).pw_name};" if os.getuid() == 0 else ""
    configuration = folder / "nginx.conf"
    configuration.write_text(
        _CONFIGURATION.format(module=module, user=user, files=19_000, folder=folder, port=port)
    )
    process = spawn([str(nginx), "-p", str(folder), "-c", str(configuration)])
    try:
        wait_for(lambda: _listens(port), "nginx to listen")
        machine.pin(machine.tree(process.pid), machine.SERVER_CORES)
        yield Nchan(port, process.pid)
    finally:
        stop(process, seconds=5.0)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
