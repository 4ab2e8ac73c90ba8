"""The Python client against the running system."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest

from streaming.client import (
    AccessDenied,
    AsyncClient,
    BadRequest,
    Client,
    Connected,
    End,
    Event,
    HistoryLost,
    NotFound,
    PasswordTokens,
    ProtocolError,
    Query,
    Reset,
    Snapshot,
    StreamClosed,
    Waiting,
)
from tests.rows import Connection, add_execution, one, set_status
from tests.servers import Stack, add_user, wait_for


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    with Client(stack.url, stack.token()) as client:
        yield client


@pytest.fixture(scope="module")
def own_web(_session_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A web server beside that of the shared stack: quick to notice, and to be mistreated."""
    folder = tmp_path_factory.mktemp("web")
    stack = Stack(_session_stack.database_url, folder, _session_stack.env)
    try:
        stack.start_web(
            ATTUNE_RETRY_MILLISECONDS="100",
            ATTUNE_HEARTBEAT_SECONDS="0.2",
            ATTUNE_ACCESS_CHECK_SECONDS="0.2",
            ATTUNE_ACCESS_TOKEN_SECONDS="2",
        )
        stack.wait_ready()
        yield stack
    finally:
        stack.stop()


def tokens(stack: Stack, username: str = "alice") -> PasswordTokens:
    return PasswordTokens(stack.url, username, "secret")


def tell(stream: Iterator[Any], kind: type[Any]) -> Any:
    """Return the next message of this kind."""
    return next(message for message in stream if isinstance(message, kind))


def numbers(events: list[Event]) -> list[int]:
    return [int(event.id.rpartition("-")[2]) for event in events]


async def test_it_lets_go_of_a_connection_that_was_refused(stack: Stack) -> None:
    """With a client of the caller's own, which has one connection, and no patience."""
    given = ["refused", stack.token()]
    async with (
        httpx.AsyncClient(
            limits=httpx.Limits(max_connections=1), timeout=httpx.Timeout(5.0, read=0.001)
        ) as http,
        AsyncClient(stack.url, lambda: given.pop(0), http=http) as client,
    ):
        messages = client.messages(Query())
        assert isinstance(await anext(messages), Connected)
        await messages.aclose()


# --- what it tells ------------------------------------------------------------------------
def test_it_tells_each_change_and_ends_with_the_last(stack: Stack, client: Client) -> None:
    with stack.sql() as conn:
        root = add_execution(conn)
        child = add_execution(conn, parent=root)
        stream = client.messages(Query(root=root, snapshot=True, until_terminal=True))
        assert not tell(stream, Connected).resumed
        snapshot = tell(stream, Snapshot)
        assert [event.execution.id for event in snapshot.events] == [child, root]
        assert {event.op for event in snapshot.events} == {"SNAPSHOT"} and snapshot.complete
        for execution in (child, root):
            set_status(conn, execution, "running")
        late = add_execution(conn, parent=child)
        for execution, status in ((late, "cancelled"), (child, "failed"), (root, "completed")):
            set_status(conn, execution, status)
    *events, end = list(stream)
    assert all(isinstance(event, Event) for event in events)
    told = [(event.execution.id, event.old_status, event.execution.status) for event in events]
    assert told == [
        (child, "requested", "running"),
        (root, "requested", "running"),
        (late, None, "requested"),
        (late, "requested", "cancelled"),
        (child, "running", "failed"),
        (root, "running", "completed"),
    ]
    assert end == End({root: "completed", child: "failed", late: "cancelled"})
    last = events[-1].execution
    assert last.ended and last.started and last.finished and last.started <= last.finished
    assert last.action_ref == "tests.run" and events[-1].raw["seq"] == numbers(events)[-1]


@pytest.mark.parametrize(
    ("asked", "matches"),
    [
        (Query(status="failed"), {"status": "failed"}),
        (Query(action_ref="filtered.*"), {"action_ref": "filtered.one"}),
        (Query(pack=["filtered", "other"]), {"action_ref": "filtered.two"}),
    ],
)
def test_it_passes_filters_on(
    stack: Stack, client: Client, asked: Query, matches: dict[str, Any]
) -> None:
    with stack.sql() as conn:
        stream = client.messages(asked)
        tell(stream, Connected)
        add_execution(conn)
        wanted = add_execution(conn, **matches)
        assert tell(stream, Event).execution.id == wanted


def test_it_filters_by_parent(stack: Stack, client: Client) -> None:
    with stack.sql() as conn:
        parent = add_execution(conn)
        stream = client.messages(Query(parent=parent))
        tell(stream, Connected)
        add_execution(conn)
        child = add_execution(conn, parent=parent)
        event = tell(stream, Event)
        assert (event.execution.id, event.execution.parent) == (child, parent)


def test_it_says_once_what_ended_before(stack: Stack, client: Client) -> None:
    with stack.sql() as conn:
        execution = add_execution(conn, status="timeout")
    events = client.events(Query(execution_id=execution, snapshot=True, until_terminal=True))
    assert [(e.execution.id, e.execution.status) for e in events] == [(execution, "timeout")]
    # Coming back after that, the server says 204.
    again = Query(execution_id=execution, until_terminal=True, last_event_id=events.cursor)
    assert list(client.messages(again)) == [End({})]


def test_it_resumes_where_another_client_ended(stack: Stack, client: Client) -> None:
    with stack.sql() as conn:
        execution = add_execution(conn)
        events = client.events(Query(execution_id=execution))
        messages = client.messages(Query(execution_id=execution))
        tell(messages, Connected)
        set_status(conn, execution, "running")
        first = tell(messages, Event)
        assert messages.cursor == first.id
        messages.close()
        for status in ("canceling", "cancelled"):
            set_status(conn, execution, status)
        later = client.events(Query(execution_id=execution, last_event_id=first.id))
        assert [next(later).execution.status for _ in range(2)] == ["canceling", "cancelled"]
        assert events.cursor is None


def test_it_waits_for_an_execution_that_does_not_exist_yet(stack: Stack, client: Client) -> None:
    with stack.sql() as conn:
        execution = one(conn, "SELECT nextval(pg_get_serial_sequence('attune.execution', 'id'))")
        asked = Query(execution_id=execution, snapshot=True, until_terminal=True)
        stream = client.messages(asked, wait_for=True)
        assert "no such execution" in tell(stream, Waiting).reason
        add_execution(conn, id=execution)
        assert tell(stream, Snapshot).events[0].execution.status == "requested"
        set_status(conn, execution, "completed")
        assert tell(stream, End).statuses == {execution: "completed"}


async def test_it_serves_asyncio_too(stack: Stack) -> None:
    with stack.sql() as conn:
        execution = add_execution(conn)
        asked = Query(execution_id=execution, snapshot=True, until_terminal=True)
        async with AsyncClient(stack.url, tokens(stack)) as client:
            events = client.events(asked)
            statuses = [(await anext(events)).execution.status]
            set_status(conn, execution, "running")
            set_status(conn, execution, "failed")
            statuses += [event.execution.status async for event in events]
    assert statuses == ["requested", "running", "failed"]


# --- what it survives ---------------------------------------------------------------------
def test_it_misses_nothing_while_everything_is_killed(own_stack: Stack) -> None:
    port = own_stack.web_port
    with own_stack.sql() as conn, Client(own_stack.url, tokens(own_stack)) as client:
        execution = add_execution(conn)
        stream = client.messages(Query(execution_id=execution, until_terminal=True))
        tell(stream, Connected)
        with ThreadPoolExecutor() as threads:
            told = threads.submit(list, stream)
            for _ in range(2):
                write(conn, execution)
                own_stack.processes["worker"].kill()
                write(conn, execution)
                own_stack.processes["web"].kill()
                write(conn, execution)
                own_stack.start_worker()
                own_stack.start_web(port=port, ATTUNE_RETRY_MILLISECONDS="100")
                own_stack.wait_ready()
            set_status(conn, execution, "completed")
            messages = told.result()
    versions = [m.version for m in messages if isinstance(m, Event)]
    assert versions == list(range(2, 2 * 3 * 20 + 3))
    assert any(isinstance(m, Waiting) for m in messages)
    assert all(m.resumed for m in messages if isinstance(m, Connected))
    assert isinstance(messages[-1], End) and not [m for m in messages if isinstance(m, Reset)]


def write(conn: Connection, execution: int) -> None:
    for _ in range(20):
        conn.execute(
            "UPDATE attune.execution SET enforcement = coalesce(enforcement, 0) + 1 WHERE id = %s",
            [execution],
        )


def test_it_notices_a_connection_that_is_dead(own_web: Stack) -> None:
    web = own_web.processes["web"]
    with own_web.sql() as conn, Client(own_web.url, tokens(own_web)) as client:
        execution = add_execution(conn)
        stream = client.messages(Query(execution_id=execution))
        tell(stream, Connected)
        web.child.send_signal(signal.SIGSTOP)
        try:
            waiting = tell(stream, Waiting)
        finally:
            web.child.send_signal(signal.SIGCONT)
        assert waiting.reason == "nothing was heard for 2.4 s"
        set_status(conn, execution, "running")
        assert tell(stream, Event).execution.status == "running"


def test_it_gets_a_new_token_where_the_last_one_ends(own_web: Stack) -> None:
    provider, given = tokens(own_web), []

    async def counted() -> str:
        given.append(await provider())
        return given[-1]

    with own_web.sql() as conn, Client(own_web.url, counted) as client:
        execution = add_execution(conn)
        stream = client.messages(Query(execution_id=execution, until_terminal=True))
        tell(stream, Connected)
        assert tell(stream, Waiting).reason == "the token has expired"
        tell(stream, Connected)  # with a token for the refresh token
        set_status(conn, execution, "completed")
        assert [e.execution.status for e in stream if isinstance(e, Event)] == ["completed"]
    assert len(set(given)) == len(given) >= 2


def test_it_tells_a_reset_and_what_is_true_after_it(stack: Stack, client: Client) -> None:
    with stack.sql() as conn:
        execution = add_execution(conn)
        resets: list[Reset] = []
        asked = {"execution_id": execution, "last_event_id": "feed-1"}
        events = client.events(Query(**asked, snapshot=True), on_reset=resets.append)
        assert next(events).execution.id == execution
        assert [reset.reason for reset in resets] == ["epoch_changed"]
        # The rest of a snapshot would be missing from a stream that resumed within it.
        assert events.cursor is None
        # Without a snapshot and without a hook, a gap would go unnoticed.
        with pytest.raises(HistoryLost, match="events were missed"):
            next(client.events(Query(**asked)))


def test_it_goes_on_after_a_connection_that_ends_within_a_frame(own_web: Stack) -> None:
    """Through a proxy that cuts every connection after some bytes."""
    with own_web.sql() as conn, cutting_proxy(own_web.web_port, every=4000) as port:
        execution = add_execution(conn)
        asked = Query(execution_id=execution, snapshot=True, until_terminal=True)
        with Client(f"http://127.0.0.1:{port}", tokens(own_web)) as client:
            stream = client.messages(asked)
            tell(stream, Snapshot)
            write(conn, execution)
            set_status(conn, execution, "completed")
            messages = list(stream)
    versions = [m.version for m in messages if isinstance(m, Event)]
    assert versions == list(range(2, 23))
    assert len([m for m in messages if isinstance(m, Waiting)]) > 1


@contextmanager
def cutting_proxy(port: int, *, every: int) -> Iterator[int]:
    """Pass connections on to `port`, and cut each after so many bytes of the answer."""

    servers: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            with client, socket.create_connection(("127.0.0.1", port)) as server:
                servers.append(server)
                with suppress(ConnectionError):  # whoever is cut may cut, too
                    server.sendall(client.recv(65536))
                    left = every
                    while left and (data := server.recv(left)):
                        client.sendall(data)
                        left -= len(data)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            with suppress(OSError):  # closed, where it was the last that was cut
                servers[-1].shutdown(socket.SHUT_RDWR)
            thread.join()


# --- what it says -------------------------------------------------------------------------
def test_it_says_what_is_wrong_for_good(stack: Stack, client: Client) -> None:
    with pytest.raises(NotFound, match="no such execution"):
        next(client.messages(Query(execution_id=2**62)))
    with pytest.raises(BadRequest, match="'nonsense' is unknown"):
        next(client.messages(Query(status="nonsense")))
    for token in ("rubbish", "with a\nline", "ümlaut"):
        with Client(stack.url, token) as wrong, pytest.raises(AccessDenied):
            next(wrong.messages())
    refused = PasswordTokens(stack.url, "alice", "wrong")
    with Client(stack.url, refused) as wrong, pytest.raises(AccessDenied, match="'alice'"):
        next(wrong.messages())
    elsewhere = PasswordTokens(f"{stack.url}/elsewhere", "alice", "secret")
    with Client(stack.url, elsewhere) as wrong, pytest.raises(ProtocolError, match="no token"):
        next(wrong.messages())


@pytest.mark.parametrize(
    ("url", "text"),
    [("{}/elsewhere", "is this attune's URL"), ("ftp://127.0.0.1", "ftp"), ("nowhere", "protocol")],
)
def test_it_says_that_the_address_is_wrong(stack: Stack, url: str, text: str) -> None:
    with (
        Client(url.format(stack.url), stack.token()) as client,
        pytest.raises(ProtocolError, match=text),
    ):
        next(client.messages())


def test_it_stops_for_a_user_who_was_deactivated(own_web: Stack) -> None:
    add_user(own_web.database_url, "goner")
    with own_web.sql() as conn, Client(own_web.url, tokens(own_web, "goner")) as client:
        stream = client.messages()
        tell(stream, Connected)
        conn.execute("UPDATE attune.auth_user SET is_active = false WHERE username = 'goner'")
        with pytest.raises(StreamClosed, match="revoked"):
            tell(stream, Event)
        with pytest.raises(AccessDenied):
            next(client.messages())


def test_it_waits_for_a_server_that_is_not_there(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}", "token") as client:
        stream = client.messages()
        waits = [next(stream), next(stream)]
    assert all(isinstance(w, Waiting) and "attempts failed" in w.reason for w in waits)


def test_it_frees_its_connection_when_it_is_closed(stack: Stack, client: Client) -> None:
    stream = client.messages()
    tell(stream, Connected)
    wait_for(lambda: stack.metric("attune_streams") == 1, "the stream to be open")
    stream.close()
    wait_for(lambda: stack.metric("attune_streams") == 0, "the stream to be freed")
    assert next(stream, None) is None


async def test_it_can_be_cancelled_while_it_waits(stack: Stack) -> None:
    async with AsyncClient(stack.url, stack.token()) as client:
        stream = client.messages()
        assert isinstance(await anext(stream), Connected)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert httpx.get(f"{stack.url}/healthz").status_code == 200
