"""Publishing to a peer over one HTTP connection that is kept open."""

from __future__ import annotations

import socket
from collections.abc import Sequence

ANSWER_SECONDS = 30.0


class Publisher:
    """Posts bodies, pipelined, and waits until every one of them is answered."""

    def __init__(self, port: int, path: str) -> None:
        self._head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: ".encode()
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        self._socket.close()

    def post(self, bodies: Sequence[bytes]) -> None:
        """Raises OSError where the peer refuses or goes."""
        self._socket.sendall(
            b"".join(self._head + b"%d\r\n\r\n%b" % (len(body), body) for body in bodies)
        )
        answers = b""
        while answers.count(b"HTTP/1.1 ") < len(bodies):
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("the peer closed the publisher's connection")
            answers += data
        if answers.count(b"HTTP/1.1 20") < len(bodies):
            raise ConnectionError(f"the peer refuses: {answers[:200]!r}")
