"""Requests that nobody should send, made up from a seed. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote

MARK = "X-Injected"  # in whatever comes back, this stands for an injection that worked
STREAM = "/api/v1/executions/stream"
_TEXTS = [
    "",
    "0",
    "1",
    "-1",
    "9" * 30,
    "1e9",
    "NaN",
    "null",
    "true",
    "[]",
    "{}",
    ",",
    ",,1,",
    "*",
    "**.**",
    "%",
    "%%",
    "_",
    "\\",
    "'",
    "' OR 1=1 --",
    '"; DROP TABLE attune.execution; --',
    "${jndi:ldap://x}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "\0",
    "a\0b",
    f"1\r\n{MARK}: yes",
    f"1\nevent: {MARK}\ndata: x\n\n",
    f"\u2028{MARK}",
    "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    "é",
    "١٢٣",
    "🦀" * 50,
    "A" * 5000,
    "2026-01-01",
    "2026-13-45T99:99:99Z",
    "earliest",
    "now",
    "5f1c09ab-1",
    "-",
    "00000000-99999999999999999999",
    "terminal",
    "running",
    "completed,failed",
    "demo.*",
    "attune_" + "0" * 64,
    "eyJhbGciOiJub25lIn0.e30.",
]
_STREAM_NAMES = ["execution_id", "status", "action_ref", "pack", "parent", "root", "snapshot"]
_STREAM_NAMES += ["until", "last_event_id", "ticket", "access_token", "a[b]", "", "\0", "é"]
_LIST_NAMES = ["page_size", "cursor", "ordering", "created_after", "executor", "minutes", "format"]
_PATHS = ["executions", "executions/stats", "executions/{id}", "executions/{id}/events", "packs"]
_PATHS += ["actions", "schema", "auth/token", "executions/{id}/cancel", "nothing", "%00", "..%2f"]
_TYPES = [
    "application/json",
    "application/json; charset=utf-16",
    "text/plain",
    "",
    "multipart/form-data",
]
_TYPES += ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "a/b; c=\x7f"]


@dataclass(frozen=True, slots=True)
class Case:
    """The bytes of a request. `is_whole`: the server has all it needs to answer."""

    data: bytes
    is_whole: bool = True


class Cases:
    """Makes requests; the same seed makes the same ones."""

    def __init__(self, seed: int, *, token: str, execution: int) -> None:
        self._random = Random(seed)
        self._token = token
        self._execution = execution
        self._kinds: list[Callable[[], Case]] = [
            self._stream_query,
            self._stream_query,
            self._last_event_id,
            self._list_query,
            self._body,
            self._credential,
            self._cookie,
            self._headers,
            self._broken,
        ]

    def next(self) -> Case:
        return self._random.choice(self._kinds)()

    def _stream_query(self) -> Case:
        return self._request("GET", f"{STREAM}?{self._query(_STREAM_NAMES)}")

    def _last_event_id(self) -> Case:
        header = f"Last-Event-ID: {self._raw_text()}"
        return self._request("GET", f"{STREAM}?{self._query(_STREAM_NAMES[:7], most=1)}", header)

    def _list_query(self) -> Case:
        return self._request("GET", f"{self._path()}?{self._query(_STREAM_NAMES + _LIST_NAMES)}")

    def _body(self) -> Case:
        method = self._random.choice(["POST", "PATCH", "PUT", "DELETE", "OPTIONS", "HEAD", "QUERY"])
        body = self._random.choice([self._json_body, self._random_body])()
        kind = f"Content-Type: {self._random.choice(_TYPES)}"
        return self._request(method, self._path(), kind, body=body)

    def _credential(self) -> Case:
        kinds = [self._text(), self._mutated(self._token), self._jwt(), "attune_" + self._text()]
        scheme = self._random.choice(["Bearer", "bearer", "Basic", "Token", "", "Bearer Bearer"])
        header = f"Authorization: {scheme} {self._clean(self._random.choice(kinds))}"
        path = self._random.choice([STREAM, "/api/v1/executions", f"{STREAM}/ticket", "/admin/"])
        method = self._random.choice(["GET", "POST"])
        return self._request(method, path, header, token=False)

    def _cookie(self) -> Case:
        name = self._random.choice(["sessionid", "csrftoken", "attune_stream_0123456789abcdef"])
        cookie = f"Cookie: {name}={self._raw_text()}; {self._raw_text()}"
        ticket = f"?ticket=0123456789abcdef.{'A' * 43}" if self._random.random() < 0.5 else ""
        return self._request("GET", STREAM + ticket, cookie, token=False)

    def _headers(self) -> Case:
        names = ["Host", "Origin", "Sec-Fetch-Site", "Accept", "Accept-Encoding", "Range", "Expect"]
        names += ["X-Forwarded-For", "X-Forwarded-Proto", "If-None-Match", "Referer", "X-CSRFToken"]
        headers = [
            f"{self._random.choice(names)}: {self._raw_text()}"
            for _ in range(self._random.randint(1, 6))
        ]
        return self._request("GET", self._random.choice([STREAM, self._path()]), *headers)

    def _broken(self) -> Case:
        data = bytearray(self._random.choice([self._stream_query, self._body])().data)
        for _ in range(self._random.randint(1, 8)):
            data[self._random.randrange(len(data))] = self._random.randrange(256)
        if self._random.random() < 0.3:
            del data[self._random.randrange(len(data)) :]
        return Case(bytes(data), is_whole=False)

    # --- parts --------------------------------------------------------------------------------
    def _request(
        self, method: str, target: str, *headers: str, body: bytes = b"", token: bool = True
    ) -> Case:
        lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers]
        if token:
            lines.append(f"Authorization: Bearer {self._token}")
        if body or method in ("POST", "PATCH", "PUT"):
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join(lines) + "\r\n\r\n"
        return Case(head.encode("utf-8", "surrogateescape") + body)

    def _path(self) -> str:
        key = self._random.choice([str(self._execution), "0", "-1", "9" * 19, "9" * 40, "x", "%00"])
        path = self._random.choice(_PATHS).replace("{id}", key)
        return f"/api/v1/{path}" + self._random.choice(["", "/", "//"])

    def _query(self, names: list[str], *, most: int = 5) -> str:
        parts = []
        for _ in range(self._random.randint(0, most)):
            name, value = self._random.choice(names), self._text()
            parts.append(f"{quote(name)}={quote(value, safe='*,', errors='replace')}")
        return "&".join(parts)

    def _text(self) -> str:
        if self._random.random() < 0.7:
            return self._random.choice(_TEXTS)
        return "".join(
            chr(self._random.randrange(1, 0x3000)) for _ in range(self._random.randint(0, 40))
        )

    def _raw_text(self) -> str:
        """Return a text as it may stand in a header: what would end the header, now and then."""
        text = self._text()
        return text if self._random.random() < 0.2 else self._clean(text)

    def _clean(self, text: str) -> str:
        return "".join(c for c in text if c >= " ")

    def _mutated(self, text: str) -> str:
        place = self._random.randrange(len(text))
        return text[:place] + self._random.choice("Aa0._-=é") + text[place + 1 :]

    def _jwt(self) -> str:
        def part(data: Any) -> str:
            return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()

        header = {"alg": self._random.choice(["none", "None", "HS256", "RS256", "", 1, None])}
        claims = {"user_id": self._random.choice([1, "1", -1, 10**30, None, {}, []]), "exp": 2**40}
        return f"{part(header)}.{part(claims)}.{self._random.choice(['', 'AAAA', part('x')])}"

    def _json_body(self) -> bytes:
        names = ["action_ref", "config", "parent", "status", "result", "version", "refresh"]
        names += ["password", "nonsense"]
        data: Any = {
            self._random.choice(names): self._value(3) for _ in range(self._random.randint(0, 4))
        }
        if self._random.random() < 0.1:
            data = self._value(2)
        text = json.dumps(data)
        if self._random.random() < 0.2:
            text = self._mutated(text)
        return text.encode()

    def _random_body(self) -> bytes:
        size = self._random.choice([0, 1, 100, 10_000])
        return self._random.choice(
            [
                self._random.randbytes(size),
                b"[" * size,
                b'{"a":' * size,
                b"1" * size,
                b"\xff\xfe" * size,
            ]
        )

    def _value(self, depth: int) -> Any:
        kinds: list[Any] = [self._text(), 10**400, -1, 1.5, 1e308, float("inf"), None, True, 2**63]
        if depth:
            kinds += [[self._value(depth - 1)], {self._text(): self._value(depth - 1)}]
        return self._random.choice(kinds)
