"""Pages and their files over plain HTTP; what is on them: tests/browser."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.servers import Stack

SCRIPT = "/static/streaming/attune.js"


def test_it_asks_to_sign_in_first_and_leads_back(stack: Stack) -> None:
    with httpx.Client(base_url=stack.url, follow_redirects=True) as client:
        page = client.get("/?status=running")
        assert page.url.path == "/sign-in/" and page.url.params["next"] == "/?status=running"
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token is not None
        form = {"username": "alice", "password": "secret", "next": page.url.params["next"]}
        form["csrfmiddlewaretoken"] = token[1]
        page = client.post(str(page.url), data=form, headers={"Origin": stack.url})
        assert (page.url.path, page.url.params["status"]) == ("/", "running")
        assert not re.search(r"<script>|<style>| style=| on\w+=", page.text)
        missing = client.get("/no-such-page/")
        assert missing.status_code == 404 and "There is no such page" in missing.text


@pytest.mark.parametrize("next_page", ["https://evil.example/", "//evil.example", "javascript:1"])
def test_it_leads_nowhere_else(stack: Stack, next_page: str) -> None:
    with httpx.Client(base_url=stack.url) as client:
        page = client.get("/sign-in/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token is not None
        form = {"username": "alice", "password": "secret", "next": next_page}
        form["csrfmiddlewaretoken"] = token[1]
        answer = client.post("/sign-in/", data=form, headers={"Origin": stack.url})
        assert (answer.status_code, answer.headers["Location"]) == (302, "/")


def test_it_serves_its_files(stack: Stack) -> None:
    with httpx.Client(base_url=stack.url) as client:
        answer = client.get(SCRIPT)
        assert answer.status_code == 200 and "class ExecutionStream" in answer.text
        assert answer.headers["Content-Type"].startswith("text/javascript")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in answer.headers
        tag = {"If-None-Match": answer.headers["ETag"]}
        assert client.get(SCRIPT, headers=tag).status_code == 304
        assert client.head(SCRIPT).headers["Content-Length"] == str(len(answer.content))
        assert client.post(SCRIPT).status_code == 405
        part = client.get(SCRIPT, headers={"Range": "bytes=0-2"})
        assert (part.status_code, part.text) == (206, "/**")
        icon = client.get("/favicon.ico", follow_redirects=True)
        assert (icon.status_code, icon.headers["Content-Type"]) == (200, "image/svg+xml")
        for path in ("/static/nothing.js", "/static/../manage.py", "/static/%2e%2e/manage.py"):
            assert client.get(path).status_code == 404
