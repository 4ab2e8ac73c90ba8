"""`python -m tests.browser.screenshots`: the pages as docs/images/ shows them.

On servers of its own, with made-up executions, spread over the last hour.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
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
from tests.rows import Connection, add_execution
from tests.servers import PROJECT, Stack, product_env, running_stack

IMAGES = PROJECT / "docs/images"
CHANGES = 900
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

    def keep(name: str) -> None:
        page.screenshot(path=IMAGES / f"{name}-{scheme}-{screen}.png", animations="disabled")

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
    context.close()


def _live(page: Page) -> None:
    expect(page.locator("#badge")).to_have_text("live")
    expect(page.locator("#rows [data-id]").first).to_be_visible()
    expect(page.locator("[data-count]").first).not_to_have_text("–")


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
