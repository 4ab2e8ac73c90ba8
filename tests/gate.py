"""A way to the database that can be shut, as a network is."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from psycopg.conninfo import conninfo_to_dict

STEP_SECONDS = 0.02


class Gate:
    """Passes TCP connections on to PostgreSQL's Unix socket, while it is open.

    Shut, it refuses connections and has cut those it had. Stalled, it takes them, and passes
    nothing on.
    """

    def __init__(self, database_url: str) -> None:
        self._parts = conninfo_to_dict(database_url)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._lock = threading.Lock()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._stalled = self._over = False

    @property
    def url(self) -> str:
        user, name = self._parts["user"], self._parts["dbname"]
        return f"postgresql://{user}@127.0.0.1:{self.port}/{name}"

    def shut(self) -> None:
        with self._lock:
            self._listening.close()
            for sock in list(self._peers):
                sock.close()
            self._peers.clear()

    def open(self) -> None:
        with self._lock:
            self._stalled = False
            if self._listening.fileno() < 0:
                self._listening = socket.create_server(("127.0.0.1", self.port))

    def stall(self) -> None:
        with self._lock:
            self._stalled = True

    def stop(self) -> None:
        self.shut()
        self._over = True

    def run(self) -> None:
        while not self._over:
            with self._lock, selectors.DefaultSelector() as selector:
                if self._listening.fileno() >= 0:
                    selector.register(self._listening, selectors.EVENT_READ)
                for sock in () if self._stalled else self._peers:
                    selector.register(sock, selectors.EVENT_READ)
                for key, _ in selector.select(STEP_SECONDS):
                    assert isinstance(key.fileobj, socket.socket)
                    self._serve(key.fileobj)

    def _serve(self, sock: socket.socket) -> None:
        if sock is self._listening:
            client, _ = sock.accept()
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"{self._parts['host']}/.s.PGSQL.{self._parts.get('port', 5432)}")
            self._peers |= {client: server, server: client}
        elif sock in self._peers:
            peer, data = self._peers[sock], b""
            with suppress(OSError):
                data = sock.recv(65536)
                peer.sendall(data)
            if not data:
                for end in (sock, peer):
                    self._peers.pop(end, None)
                    end.close()


@contextmanager
def gate_to(database_url: str) -> Iterator[Gate]:
    gate = Gate(database_url)
    thread = threading.Thread(target=gate.run, name="gate")
    thread.start()
    try:
        yield gate
    finally:
        gate.stop()
        thread.join()
