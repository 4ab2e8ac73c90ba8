"""`python -m tests.browser.screenshots`: the pages as docs/images/ shows them.

On servers of its own, with made-up executions, spread over the last hour.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from playwright.sync_api import Browser, Page, expect, sync_playwright
from psycopg.types.json import Jsonb

from attune.local.postgres import EmbeddedPostgres
from attune.local.redis import EmbeddedRedis
from executions.simulation import ACTIONS, PACKS, Simulation
from tests import settings
from tests.browser.conftest import sign_in
from tests.programs import program
from tests.rows import Connection, add_execution, set_status
from tests.servers import PROJECT, Stack, product_env, running_stack

IMAGES = PROJECT / "docs/images"
CHANGES = 900
# Seconds after the last step; the action of a descendant, or "" for the run itself; its status.
WORK = [
    *((0.5, "", "scheduling"), (0.2, "", "scheduled"), (0.4, "", "running")),
    *((0.2, "demo_ops.build_image", "requested"), (0.4, "demo_ops.build_image", "running")),
    *((0.3, "demo_ops.backup", "requested"), (0.2, "demo_ops.backup", "running")),
    *((0.5, "demo_ops.dump_database", "running"), (0.6, "demo_ops.dump_database", "failed")),
    *((0.1, "demo_ops.build_image", "completed"), (0.3, "demo_ops.upload_archive", "requested")),
]
SCREENS = {"wide": (1280, 800), "narrow": (390, 844)}
SCHEMES = ("light", "dark")

# Each execution a little further back than the one after it, and as long as its kind may take.
SPREAD = """
    UPDATE attune.execution e SET created = began, updated = now(),
        started = CASE WHEN started IS NOT NULL THEN began + waited END,
        finished = CASE WHEN finished IS NOT NULL THEN least(now(), began + waited + ran) END
    FROM (SELECT id, now() - (max(id) OVER () - id + 0.2) * interval '19 seconds' AS began,
              id * 37 % 11 * interval '0.13 seconds' AS waited,
              (id * 53 % 29) ^ 2 * interval '0.21 seconds' + interval '0.4 seconds' AS ran
          FROM attune.execution) o
    WHERE o.id = e.id
"""
SCHEMA = """
    UPDATE attune.action SET description = 'Deploys a release to all hosts.', param_schema = '{
        "type": "object", "required": ["version"], "properties": {
            "version": {"type": "string", "default": "2.0.0", "description": "tag to deploy"},
            "hosts": {"type": "array", "default": ["web-1", "web-2"]},
            "dry_run": {"type": "boolean", "default": false}}}'
    WHERE ref = 'demo_ops.deploy'
"""


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with _running() as stack, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program("chromium"), args=["--no-sandbox"]
        )
        for scheme in SCHEMES:
            for screen in SCREENS:
                _shoot(browser, stack, scheme, screen)
        browser.close()
    shutil.rmtree(settings.FOLDER, ignore_errors=True)


def _shoot(browser: Browser, stack: Stack, scheme: str, screen: str) -> None:
    width, height = SCREENS[screen]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,  # type: ignore[arg-type]
        device_scale_factor=1 if screen == "wide" else 2,
    )
    page = context.new_page()

    def keep(name: str, *, whole: bool = False) -> None:
        path = IMAGES / f"{name}-{scheme}-{screen}.png"
        page.screenshot(path=path, animations="disabled", full_page=whole)

    page.goto(stack.url)
    keep("sign-in")
    sign_in(page)
    _live(page)
    keep("executions")
    page.get_by_role("button", name="Start…").click()
    page.get_by_role("dialog").get_by_label("Action", exact=True).fill("demo_ops.deploy")
    page.locator("#start-config").focus()
    expect(page.locator("#start-config")).not_to_have_value("")
    keep("start")
    with stack.sql() as conn:
        page.goto(f"{stack.url}/executions/{_begin(conn)}/")
        expect(page.locator("#badge")).to_have_text("live")
        _work(conn)
    expect(page.locator("#gantt-rows [data-id]")).to_have_count(5)
    keep("execution", whole=True)
    page.goto(f"{stack.url}/overview/")
    expect(page.locator("#badge")).to_have_text("live")
    expect(page.locator("canvas")).to_have_count(3)
    keep("overview", whole=True)
    context.close()


def _live(page: Page) -> None:
    expect(page.locator("#badge")).to_have_text("live")
    expect(page.locator("#rows [data-id]").first).to_be_visible()
    expect(page.locator("[data-count]").first).not_to_have_text("–")


def _begin(conn: Connection) -> int:
    """Request a run that has a tree of its own, and return it."""
    config = {"version": "2.0.0", "hosts": ["web-1", "web-2"], "dry_run": False}
    before = add_execution(conn, "demo.monthly_close", status="running")
    return add_execution(conn, "demo_ops.deploy", config=Jsonb(config), parent=before)


def _work(conn: Connection) -> None:
    """Do what the newest run is for; it takes as long as it looks."""
    row = conn.execute("SELECT max(id) FROM attune.execution").fetchone()
    assert row is not None
    root, children = row[0], {}
    for seconds, name, status in WORK:
        time.sleep(seconds)
        if name in children:
            set_status(conn, children[name], status)
        elif name == "":
            set_status(conn, root, status)
        else:
            parent = children.get("demo_ops.backup", root)
            children[name] = add_execution(conn, name, parent=parent, status=status)
    progress = Jsonb({"progress": 60, "hosts": {"web-1": "done", "web-2": "waiting"}})
    conn.execute("UPDATE attune.execution SET result = %s WHERE id = %s", [progress, root])


@contextmanager
def _running() -> Iterator[Stack]:
    postgres, redis = EmbeddedPostgres(settings.POSTGRES), EmbeddedRedis(settings.REDIS)
    postgres.start()
    redis.start()
    try:
        postgres.create_database("attune")
        url = postgres.url("attune")
        manage = [sys.executable, "manage.py"]
        subprocess.run([*manage, "migrate", "-v0"], env=product_env(url), cwd=PROJECT, check=True)
        with running_stack(url, settings.FOLDER / "stack") as stack, stack.sql() as conn:
            _fill(conn)
            yield stack
    finally:
        redis.close()
        postgres.stop()


def _fill(conn: Connection) -> None:
    conn.cursor().executemany("INSERT INTO attune.pack (ref) VALUES (%s)", [[ref] for ref in PACKS])
    conn.cursor().executemany(
        "INSERT INTO attune.action (ref, label, pack, pack_ref)"
        " SELECT %s, %s, id, ref FROM attune.pack WHERE ref = %s",
        [[action.ref, action.label, action.pack] for action in ACTIONS],
    )
    simulation, ids = Simulation(Random(5), rate=9), {}
    for _ in range(CHANGES):
        change = simulation.next()
        if change.before is None:
            parent = ids.get(change.parent)
            ids[change.run] = add_execution(
                conn, change.action_ref, config=Jsonb(change.config), parent=parent
            )
        else:
            conn.execute(
                "UPDATE attune.execution SET status = %s, result = %s WHERE id = %s",
                [change.status, Jsonb(change.result), ids[change.run]],
            )
        simulation.done(change)
    conn.execute("SET session_replication_role = replica")  # no trigger: history, not news
    conn.execute(SPREAD)
    conn.execute(SCHEMA)


if __name__ == "__main__":
    main()
