"""The log as somebody reads it who looks for one request, stream, user or execution."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import httpx
import pytest

from attune import logs
from tests.observability.measured import Measured
from tests.rows import add_execution
from tests.servers import SERVERS, Stack, StartStack, wait_for
from tests.sse_client import open_stream


@pytest.fixture(scope="module", params=sorted(SERVERS))
def logging_json(request: pytest.FixtureRequest, module_stack: StartStack) -> Stack:
    return module_stack(
        server=request.param, ATTUNE_LOG_FORMAT="json", ATTUNE_MAX_LIFETIME_SECONDS="1"
    )


def lines(stack: Stack) -> list[dict[str, Any]]:
    """Return what the web process has logged since it logs JSON."""
    output = stack.processes["web"].output
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def test_it_tells_request_user_stream_and_execution(logging_json: Stack) -> None:
    stack = logging_json
    with stack.sql() as conn:
        execution = add_execution(conn)
        user = conn.execute("SELECT id FROM attune.auth_user").fetchone()
    headers = {"Authorization": f"Bearer {stack.token()}", "X-Request-ID": "from-a-client.1"}
    shown = httpx.get(f"{stack.url}/api/v1/executions/{execution}", headers=headers)
    assert shown.headers["X-Request-ID"] == "from-a-client.1"
    with open_stream(stack.stream_url, stack.token(), execution_id=execution) as stream:
        request = stream.response.headers["X-Request-ID"]
        assert json.loads(stream.next_frame().data)["reason"] == "max_lifetime"
    refused = httpx.get(f"{stack.stream_url}?x=1", headers=headers)
    assert refused.headers["X-Request-ID"] == "from-a-client.1"

    def about(request: str, action: str, count: int) -> list[dict[str, Any]]:
        def found() -> list[dict[str, Any]]:
            named = [line for line in lines(stack) if line.get("request") == request]
            return [line for line in named if line.get("action") == action]

        wait_for(lambda: len(found()) >= count, f"{count} lines of {action}")
        return found()

    rest, stream_refused = about("from-a-client.1", "request", 2)
    assert user is not None
    who = {"user": user[0], "executions": [execution]}
    assert (
        rest.items()
        >= {
            "level": "INFO",
            "logger": "attune.request",
            "method": "GET",
            "path": f"/api/v1/executions/{execution}",
            "status": 200,
            **who,
        }.items()
    )
    assert rest["seconds"] > 0 and rest["time"].endswith("+00:00")
    assert (stream_refused["status"], "stream" in stream_refused) == (400, False)
    opened, ended = about(request, "stream", 2)
    (over,) = about(request, "request", 1)
    assert opened.items() >= {"state": "open", **who}.items()
    assert ended.items() >= {"state": "ended", "reason": "max_lifetime", **who}.items()
    assert over.items() >= {"status": 200, "stream": opened["stream"], **who}.items()
    assert opened["stream"] == ended["stream"]


@pytest.mark.parametrize("server", sorted(SERVERS))
def test_it_puts_nobodys_fields_on_what_the_hub_says(start_stack: StartStack, server: str) -> None:
    # Its own, as it loses its worker; its hub has been started by a request.
    stack = start_stack(server=server, ATTUNE_LOG_FORMAT="json")
    stack.processes["worker"].stop()
    wait_for(
        lambda: [line for line in lines(stack) if line.get("action") == "follow"],
        "the hub to miss the worker",
    )
    (line,) = (line for line in lines(stack) if line.get("action") == "follow")
    assert line["state"] == "degraded" and line["error"] and "request" not in line


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "ä", 'a"b', "a=b"])
def test_it_makes_a_request_id_where_none_is_well_formed(measured: Measured, given: str) -> None:
    url = f"{measured.stack.url}/api/v1/executions"
    headers = [(b"x-request-id", given.encode())] if given else []
    answers = [httpx.get(url, headers=headers) for _ in range(2)]
    made = {answer.headers["X-Request-ID"] for answer in answers}
    assert len(made) == 2 and all(len(id) == 32 and id.isalnum() for id in made)


def test_it_gives_ids_to_refusals_and_probes_too(measured: Measured) -> None:
    url = measured.stack.url
    for path in ("/healthz", "/nothing", "/static/nothing", "/api/v1/executions?" + "x" * 20_000):
        assert httpx.get(f"{url}{path}").headers["X-Request-ID"]
    assert "path=/healthz" not in measured.stack.processes["web"].output


def test_it_is_one_line_a_request_in_text(measured: Measured) -> None:
    url = f"{measured.stack.url}/api/v1/executions/0%0a1%20x"
    id = httpx.get(url, headers={"X-Request-ID": "text-1"}).headers["X-Request-ID"]
    output = measured.stack.processes["web"]

    # Django says that it is not found; ours comes when the request is over.
    def named() -> list[str]:
        return [line for line in output.output.splitlines() if line.endswith(f" request={id}")]

    wait_for(lambda: len(named()) == 2, "both lines")
    (line,) = (line for line in named() if "action=request" in line)
    assert "INFO attune.request action=request method=GET path=/api/v1/executions/0%0A1%20x" in line
    assert " status=404 seconds=" in line and line.endswith(" request=text-1")


def record(message: str, *args: Any, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("attune.x", logging.INFO, __file__, 1, message, args, **more)
    setattr(made, logs.EXTRA, {"request": "r1", "executions": [1, 2]})
    return made


@pytest.mark.parametrize(
    ("message", "args", "pairs"),
    [
        ("action=drain streams=%d", (5,), {"action": "drain", "streams": 5}),
        ("action=a error=%r b=1.5", ("x y=z 'q'",), {"error": "x y=z 'q'", "b": 1.5}),
        ("action=a error=%s", ("Away: no answer",), {"error": "Away: no answer"}),
        ("action=a position=%s", ("5f1c-12",), {"position": "5f1c-12"}),
        ("action=a x=%s", ("",), {"action": "a", "x": ""}),
        ("Not Found: %s", ("/a=b",), {"message": "Not Found: /a=b"}),
        # What is sent cannot pass for what we say.
        ("action=a error=%s", ("x request=r2 level=DEBUG user=7 time=1",), {"action": "a"}),
    ],
)
def test_it_says_a_message_in_json(message: str, args: tuple[Any, ...], pairs: Any) -> None:
    text = logs.JsonFormatter().format(record(message, *args, exc_info=None))
    line = json.loads(text)
    assert "\n" not in text
    assert line.items() >= pairs.items()
    assert (line["level"], line["logger"]) == ("INFO", "attune.x")
    assert (line["request"], line["executions"], "user" in line) == ("r1", [1, 2], False)
    assert line["time"] != 1


def test_it_keeps_to_one_line_whatever_is_in_it() -> None:
    try:
        raise ValueError("with\ntwo lines")
    except ValueError:
        failed = record("action=a error=%s", "x\ny\r\nz", exc_info=sys.exc_info())
    in_json = json.loads(logs.JsonFormatter().format(failed))
    assert in_json["error"] == "x\ny\r\nz" and "ValueError: with" in in_json["exception"]
    first, *traceback = logs.TextFormatter().format(failed).splitlines()
    assert first.endswith(r"action=a error=x\ny\r\nz request=r1 executions=1,2")
    assert traceback[0].startswith("Traceback")
