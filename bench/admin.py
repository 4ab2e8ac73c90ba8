"""`python -m bench.admin`: the admin's lists over a table of a million executions."""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import time
from contextlib import closing

import httpx

from bench.rest import REPEAT, fill
from bench.stack import bench_stack
from tests.servers import Stack, add_user

LIST = "executions/execution/"
PATHS = {
    "newest": LIST,
    "page 200, the last": f"{LIST}?p=200",
    "status, a common one": f"{LIST}?status=completed",
    "status, only among the oldest": f"{LIST}?status=abandoned",
    "pack, a common one": f"{LIST}?pack=pack3",
    "pack, only among the oldest": f"{LIST}?pack=legacy",
    "pack that does not exist": f"{LIST}?pack=none",
    "action": f"{LIST}?action_ref=pack3.action3",
    "status and pack": f"{LIST}?status=failed&pack=pack3",
    "status and pack, nothing": f"{LIST}?status=running&pack=legacy",
    "created today": f"{LIST}?created__gte={{today}}",
    "parent": f"{LIST}?parent=500001",
    "search by id": f"{LIST}?q=123456",
    "search by part of a ref": f"{LIST}?q=action3",
    "search for nothing": f"{LIST}?q=nothing",
    "oldest first": f"{LIST}?o=1",
    "one execution": f"{LIST}500001/change/",
    "one with 20,000 below it": f"{LIST}1/change/",
    "log": "executions/executionevent/",
    "packs": "executions/pack/",
    "actions": "executions/action/",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=1_000_000)
    options = parser.parse_args()
    with bench_stack() as stack:
        add_user(stack.database_url, "root", is_staff=True, is_superuser=True)
        fill(stack, options.executions)
        today = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime())
        print(f"{options.executions:,} executions\n\n| page | p50 | max |\n|---|--:|--:|")
        with closing(signed_in(stack, "root")) as client:
            for name, path in PATHS.items():
                p50, most = measure(client, path.format(today=today))
                print(f"| {name} | {p50:.1f} ms | {most:.1f} ms |", flush=True)
    return 0


def signed_in(stack: Stack, username: str) -> httpx.Client:
    client = httpx.Client(base_url=f"{stack.url}/admin/", timeout=60, follow_redirects=True)
    form = client.get("login/")
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)
    assert token is not None
    sign_in = {"username": username, "password": "secret", "csrfmiddlewaretoken": token[1]}
    answer = client.post("login/", data=sign_in, headers={"Referer": str(form.url)})
    assert "sessionid" in client.cookies, answer.text
    return client


def measure(client: httpx.Client, path: str) -> tuple[float, float]:
    """Return the median and the longest time of a page, in milliseconds."""
    times = []
    client.get(path).raise_for_status()
    for _ in range(REPEAT):
        began = time.perf_counter()
        client.get(path).raise_for_status()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times), max(times)


if __name__ == "__main__":
    sys.exit(main())
