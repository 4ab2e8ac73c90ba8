"""Streams that are written to together: on a real hub, and real sockets."""

from __future__ import annotations

import fcntl
import math
import socket
import struct
import termios
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress

import pytest

from attune.local.redis import EmbeddedRedis
from executions.filters import Filter
from executions.positions import Position
from streaming.cohort import COHORT_STREAMS
from streaming.hub import Hub
from streaming.subscriber import Subscriber
from streaming.wire import Outlet
from tests.integration.test_hub import add_events, running_hub, until
from tests.rows import Connection

LATER = math.inf
BUFFER_BYTES = 256 * 1024


Ends = tuple[socket.socket, socket.socket]


def connected() -> Ends:
    """Return both ends of a connection that takes parts of what it is sent, unlike a pair."""
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        end.connect(listening.getsockname())
        here, _ = listening.accept()
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        return here, end.dup()


def in_flight(sock: socket.socket) -> int:
    """Return how many bytes the other side's kernel has not confirmed; man 7 tcp, SIOCOUTQ."""
    (size,) = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))
    return int(size)


class Client:
    """A stream that waits at the end of the log, and the other end of its connection."""

    count = 1

    def __init__(self, hub: Hub, ends: Ends) -> None:
        self.socket, self.end = ends
        self.socket.setblocking(False)
        self.end.setblocking(False)
        self.closing = False
        self.breaks = False
        self.until = LATER
        self.woken = 0
        self.held = b""
        self.subscriber = Subscriber(hub, Filter(), hub.position, member=self)
        self.subscriber.written_at = 0.0
        self.rest()

    def close(self) -> None:
        self.subscriber.close()
        self.socket.close()
        self.end.close()

    def read(self) -> bytes:
        """Return all that was sent."""
        data, deadline = b"", time.monotonic() + 5.0
        while time.monotonic() < deadline:
            unread = in_flight(self.socket)
            with suppress(BlockingIOError):
                data += self.end.recv(1 << 20)
                continue
            if not unread:
                return data
        raise AssertionError("the kernel does not deliver it")

    @property
    def rests(self) -> bool:
        return self.subscriber.cohort is not None

    # What a cohort asks of a stream.
    def pushable_until(self) -> float:
        return self.until

    def rest(self) -> None:
        self.subscriber.rest(Outlet(self.socket.fileno(), self))

    def push(self, now: float) -> int:
        return 0

    def wake(self) -> None:
        self.woken += 1
        self.subscriber.wake()

    def drain(self) -> None:
        self.subscriber.stand_up()

    def cut(self) -> None:
        self.closing = True

    # And of its transport.
    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        if self.breaks:
            raise RuntimeError("it breaks")
        self.held += data


@pytest.fixture
async def hub(database: str, redis_server: EmbeddedRedis) -> AsyncIterator[Hub]:
    async with running_hub(database, message_bytes=1 << 20) as hub:
        yield hub


class Crowd(list[Client]):
    def come(
        self, hub: Hub, count: int, *, connect: Callable[[], Ends] = socket.socketpair
    ) -> None:
        self.extend(Client(hub, connect()) for _ in range(count))


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    crowd = Crowd()
    yield crowd
    for client in crowd:
        client.close()


def fill(client: Client) -> None:
    """Leave the kernel no room for anything else."""
    for size in (4096, 1):
        with suppress(BlockingIOError):
            while True:
                client.socket.send(b"x" * size)


async def happen(conn: Connection, hub: Hub, events: int = 1) -> None:
    """Have events written to all of them."""
    add_events(conn, events)
    await hub.refresh()
    await until(lambda: hub._pace._planned is None)  # the round of writes is over


async def test_all_of_them_get_everything_as_a_few_readers_of_their_feed(
    conn: Connection, hub: Hub, crowd: Crowd
) -> None:
    crowd.come(hub, 2 * COHORT_STREAMS + 1)
    for _ in range(3):
        await happen(conn, hub, 2)
    got = {client.read() for client in crowd}
    assert len(got) == 1
    assert got.pop().count(b"\ndata: ") == 6
    assert {client.subscriber.position for client in crowd} == {hub.position}
    assert all(client.rests and not client.woken for client in crowd)
    assert len(crowd[0].subscriber._feed.readers) == 3


async def test_who_does_not_read_leaves_with_what_is_left_and_the_others_go_on(
    conn: Connection, hub: Hub, crowd: Crowd
) -> None:
    crowd.come(hub, 3, connect=connected)
    slow = crowd[1]
    seen = b""
    for _ in range(2_000):
        await happen(conn, hub, 20)
        assert crowd[0].read() == (news := crowd[2].read())
        seen += news
        if slow.held:
            break
    assert slow.read() + slow.held == seen, "the rest of the part that it had the beginning of"
    assert not slow.rests and slow.subscriber.position == hub.position
    await happen(conn, hub)
    assert crowd[0].read() == crowd[2].read() != b""
    assert slow.read() == b"", "its connection is the server's now"
    assert slow.subscriber.position.seq == hub.position.seq - 1


async def test_nothing_is_written_to_a_descriptor_that_is_about_to_be_closed(
    conn: Connection, hub: Hub, crowd: Crowd
) -> None:
    crowd.come(hub, 2)
    crowd[0].closing = True
    before = hub.position
    await happen(conn, hub)
    assert crowd[0].read() == b""
    assert (crowd[0].woken, crowd[0].subscriber.position) == (1, before)
    assert crowd[1].read() != b""


async def test_nothing_is_written_to_who_may_not_see_it_any_more(
    conn: Connection, hub: Hub, crowd: Crowd
) -> None:
    """A cohort asks again at the earliest time that one of them named."""
    crowd.come(hub, 3)
    crowd[0].until = 0.0
    crowd[0].rest()
    await happen(conn, hub)
    assert [client.read() != b"" for client in crowd] == [False, True, True]
    assert [client.woken for client in crowd] == [1, 0, 0]
    assert crowd[1].subscriber.cohort._until == LATER  # type: ignore[union-attr]


async def test_who_is_woken_goes_on_alone_from_where_all_were(
    conn: Connection, hub: Hub, crowd: Crowd
) -> None:
    crowd.come(hub, 2)
    await happen(conn, hub)
    crowd[0].wake()
    here = hub.position
    await happen(conn, hub)
    assert [client.subscriber.position for client in crowd] == [here, hub.position]
    assert crowd[0].subscriber.written_at < crowd[1].subscriber.written_at


async def test_few_here_and_few_there_become_one(conn: Connection, hub: Hub, crowd: Crowd) -> None:
    crowd.come(hub, COHORT_STREAMS + 3)
    readers = crowd[0].subscriber._feed.readers
    assert len(readers) == 2
    for client in crowd[:20]:
        client.subscriber.close()
    await happen(conn, hub)
    assert len(readers) == 1
    await happen(conn, hub)
    assert {client.read().count(b"\ndata: ") for client in crowd[20:]} == {2}
    assert not any(client.woken for client in crowd)


async def test_all_of_them_look_for_themselves_when_memory_has_not_what_they_need(
    conn: Connection, hub: Hub, crowd: Crowd
) -> None:
    crowd.come(hub, 2)
    before = hub.position
    hub._skip_to(before.seq)
    hub.position = Position(hub.position.epoch, before.seq + 5)
    hub._feeds.restart(before.seq + 5)
    assert [client.woken for client in crowd] == [2, 2]
    assert {client.subscriber.position for client in crowd} == {before}


async def test_who_takes_nothing_looks_for_what_a_cut_chunk_has_left_out(
    conn: Connection, hub: Hub, crowd: Crowd
) -> None:
    """It has left by then, and nobody else would wake it before the next event."""
    crowd.come(hub, 2)
    fill(crowd[0])
    await happen(conn, hub, 400)  # read and written at once: more than a chunk takes
    assert [client.woken for client in crowd] == [1, 1]
    assert crowd[0].held.count(b"\ndata: ") == crowd[1].read().count(b"\ndata: ") > 0
    assert {client.subscriber.position for client in crowd} == {crowd[0].subscriber.position}
    assert crowd[0].subscriber.behind


async def test_whose_connection_breaks_is_cut_and_the_others_go_on(
    conn: Connection, hub: Hub, crowd: Crowd, caplog: pytest.LogCaptureFixture
) -> None:
    crowd.come(hub, 3)
    for client in crowd[:2]:
        fill(client)
    crowd[0].breaks = True
    await happen(conn, hub)
    assert [client.closing for client in crowd] == [True, False, False]
    assert crowd[1].held == crowd[2].read() != b""
    assert "action=drain" in caplog.text


async def test_it_counts_the_silence_of_each(conn: Connection, hub: Hub, crowd: Crowd) -> None:
    """A heartbeat is due by what was written to the stream, not to those that it has joined."""
    crowd.come(hub, 2)
    await happen(conn, hub)
    assert crowd[0].subscriber.written_at > 0
    crowd.come(hub, 1)
    assert crowd[2].subscriber.cohort is crowd[0].subscriber.cohort
    assert crowd[2].subscriber.written_at == 0.0


async def test_a_feed_goes_with_the_last_of_them(hub: Hub, crowd: Crowd) -> None:
    crowd.come(hub, 3)
    assert len(hub._feeds) == 1
    for client in crowd:
        client.subscriber.close()
    assert len(hub._feeds) == 0
    feed = crowd[0].subscriber._feed
    assert not feed.readers
    assert feed.cohort is None, "it would keep the feed"
