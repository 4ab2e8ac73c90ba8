"""`python -m bench.rest`: REST over a table of a million executions.

Lists have to be as fast as on a small table; statistics as fast as what they tell is small.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import httpx

from bench.stack import bench_stack
from tests.servers import Stack, add_user

REPEAT = 15
FILL = """
INSERT INTO attune.pack (ref, restricted) VALUES ('vault', true);
BEGIN;
SET LOCAL session_replication_role = replica;  -- no events: this is history
INSERT INTO attune.execution (action_ref, status, parent, created, updated, started, finished,
    version, config, result)
SELECT
    CASE WHEN i <= total / 500 THEN 'legacy.run'
         WHEN i % 97 = 0 THEN 'vault.open'
         ELSE 'pack' || i / 10 % 20 || '.action' || i / 200 % 10 END,
    CASE WHEN i > total - 1000
             THEN (ARRAY['requested','scheduling','scheduled','running','canceling'])[1 + i % 5]
         WHEN i <= 300 THEN 'abandoned'
         WHEN i % 19 = 0 THEN 'failed'
         WHEN i % 211 = 0 THEN 'timeout'
         ELSE 'completed' END,
    CASE WHEN i <= 20000 THEN nullif(i / 10, 0)  -- one tree of 20,000, else trees of ten
         WHEN i % 10 <> 1 THEN i - 1 - (i - 1) % 10 + CASE WHEN i % 10 < 5 THEN 1 ELSE 2 END END,
    age, age + interval '30 s', age + interval '2 s',
    CASE WHEN i <= total - 1000
        THEN age + interval '3 s' + i::bigint * 31337 % 27000 * interval '1 ms' END,
    4, '{"n": 1}', '{"ok": true, "output": "something was done here, and it took a while"}'
FROM (SELECT i, TOTAL AS total, now() - (TOTAL - i) * interval '2.6 s' AS age
      FROM generate_series(1, TOTAL) i) rows;
SELECT setval(pg_get_serial_sequence('attune.execution', 'id'), TOTAL);
COMMIT;
"""
PATHS = {
    "newest": "executions",
    "page of 500": "executions?page_size=500",
    "status, a common one": "executions?status=completed",
    "status, only among the oldest": "executions?status=abandoned",
    "status, several": "executions?status=requested,running,abandoned",
    "pack, a common one": "executions?pack=pack3",
    "pack, only among the oldest": "executions?pack=legacy",
    "action_ref": "executions?action_ref=pack3.action3",
    "action_ref=pack3.*": "executions?action_ref=pack3.*",
    "action_ref=legacy.*": "executions?action_ref=legacy.*",
    "action_ref=*action3": "executions?action_ref=*action3",
    "action_ref=*nothing*, all rows": "executions?action_ref=*nothing*",
    "root, 10 rows": "executions?root=500001",
    "root, 20,000 rows": "executions?root=1",
    "parent": "executions?parent=500001",
    "executor": "executions?executor=1",
    "status and pack": "executions?status=failed&pack=pack3",
    "updated in the last hour": "executions?updated_after={hour}",
    "ordering=-updated": "executions?ordering=-updated",
    "ordering=created": "executions?ordering=created",
    "stats, 1 hour": "executions/stats",
    "stats, 24 hours": "executions/stats?minutes=1440",
    "stats of a pack": "executions/stats?pack=pack3",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--executions", type=int, default=1_000_000)
    options = parser.parse_args()
    with bench_stack() as stack:
        add_user(stack.database_url, "root", is_superuser=True)
        began = time.monotonic()
        fill(stack, options.executions)
        print(f"{options.executions:,} executions in {time.monotonic() - began:.0f} s\n")
        users = {"superuser": stack.token("root"), "sees no restricted pack": stack.token()}
        print("| request | " + " | ".join(f"{user}: p50 | max" for user in users) + " |")
        print("|---" + "|--:" * 2 * len(users) + "|")
        hour = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
        for name, path in PATHS.items():
            row = [measure(stack, path.format(hour=hour), token) for token in users.values()]
            print(f"| {name} | " + " | ".join(f"{a:.1f} ms | {b:.1f} ms" for a, b in row) + " |")
        deep = [far_page(stack, token) for token in users.values()]
        print("| page 1,000 of 500 | " + " | ".join(f"{ms:.1f} ms | " for ms in deep) + " |")
    return 0


def fill(stack: Stack, total: int) -> None:
    with stack.sql() as conn:
        conn.execute(FILL.replace("TOTAL", str(total)))
        conn.execute("VACUUM ANALYZE attune.execution")


def measure(stack: Stack, path: str, token: str) -> tuple[float, float]:
    """Return the median and the longest time of a request, in milliseconds."""
    times = []
    with _client(stack, token) as client:
        client.get(path).raise_for_status()
        for _ in range(REPEAT):
            began = time.perf_counter()
            client.get(path).raise_for_status()
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times), max(times)


def far_page(stack: Stack, token: str, *, pages: int = 1000) -> float:
    """Follow `next`; return the median time of the last ten pages, in milliseconds."""
    url, times = "executions?page_size=500", []
    with _client(stack, token) as client:
        for _ in range(pages):
            began = time.perf_counter()
            page = client.get(url).raise_for_status().json()
            times.append((time.perf_counter() - began) * 1000)
            if page["next"] is None:
                break
            url = page["next"]
    return statistics.median(times[-10:])


def _client(stack: Stack, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=f"{stack.url}/api/v1/", headers=headers, timeout=60)


if __name__ == "__main__":
    sys.exit(main())
