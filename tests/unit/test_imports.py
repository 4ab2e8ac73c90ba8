"""Imports go one way; a module that breaks this is in the wrong place."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
# What `streaming` may know of `executions`.
PUBLIC = {
    "executions.eventlog",
    "executions.figures",
    "executions.inspection",
    "executions.database",
    "executions.status",
    "executions.visibility",
}
PUBLIC |= {"executions.models", "executions.filters", "executions.positions"}
PUBLIC |= {"executions.snapshots", "executions.parameters", "executions.errors"}
PUBLIC |= {"executions.durations"}
PURE = {
    "executions/status.py",
    "executions/durations.py",
    "executions/eventlog.py",
    "executions/figures.py",
    "executions/inspection.py",
    "executions/filters.py",
    "executions/moves.py",
    "executions/parameters.py",
    "executions/positions.py",
    "executions/pruning.py",
    "executions/snapshots.py",
    "streaming/checks.py",
    "streaming/sse.py",
    "streaming/messages.py",
    "streaming/shards.py",
    "streaming/filters.py",
    "streaming/chunks.py",
    "streaming/feed.py",
    "streaming/feeds.py",
    "streaming/watch.py",
    "streaming/frames.py",
    "streaming/console/board.py",
    "streaming/console/screen.py",
    "streaming/console/lines.py",
}


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def modules(package: str) -> list[Path]:
    found = [p for p in (ROOT / package).rglob("*.py") if "migrations" not in p.parts]
    assert found
    return found


def test_it_keeps_executions_free_of_streaming() -> None:
    for path in modules("executions"):
        assert not {n for n in imports(path) if n.split(".")[0] == "streaming"}, path


def test_it_keeps_accounts_apart_from_what_they_give_access_to() -> None:
    for path in modules("attune/accounts"):
        assert not {n for n in imports(path) if n.split(".")[0] in ("executions", "streaming")}, (
            path
        )
    for path in modules("executions"):
        assert not {n for n in imports(path) if n.startswith("attune.accounts")}, path


def test_it_lets_streaming_see_only_the_public_side_of_executions() -> None:
    for path in modules("streaming"):
        used = {n for n in imports(path) if n.startswith("executions.")}
        private = {n for n in used if not any(n == p or n.startswith(f"{p}.") for p in PUBLIC)}
        assert not private, path


@pytest.mark.parametrize("name", sorted(PURE))
def test_it_keeps_the_core_free_of_django(name: str) -> None:
    used = {n.split(".")[0] for n in imports(ROOT / name)}
    assert not used & {"django", "rest_framework", "channels", "redis"}


def test_it_keeps_the_listener_apart_from_hub_and_views() -> None:
    used = imports(ROOT / "streaming/listener.py")
    assert not used & {"streaming.hub", "streaming.views", "streaming.stream", "streaming.feed"}
