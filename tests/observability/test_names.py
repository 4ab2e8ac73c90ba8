"""Metrics, their documents, the dashboard and the alerts know the same names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families as parse

from streaming import metrics
from tests.observability.measured import Measured
from tests.servers import PROJECT

RULES = yaml.safe_load((PROJECT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))
DASHBOARD = json.loads((PROJECT / "deploy/grafana/attune.json").read_text(encoding="utf-8"))
DOCS = (PROJECT / "docs/metrics.md").read_text(encoding="utf-8")
SUFFIXES = ("_bucket", "_sum", "_count")
TABLE = re.compile(r"^\| `(attune_\w+)` \| (\w+) \| (\w+) \| (.*) \|$", re.MULTILINE)


def exported(text: str) -> dict[str, str]:
    """Return the type of each of our metrics by the name that it has in a query."""
    families = (family for family in parse(text) if family.name.startswith("attune_"))
    return {f.name + ("_total" if f.type == "counter" else ""): f.type for f in families}


def expressions(node: Any) -> Iterator[str]:
    """Yield every `expr` below a node."""
    if isinstance(node, dict):
        if isinstance(node.get("expr"), str):
            yield node["expr"]
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from expressions(part)


def names(node: Any, types: dict[str, str]) -> set[str]:
    """Return the metrics that the expressions use; of a histogram the name of the whole."""
    used = {name for expr in expressions(node) for name in re.findall(r"attune_\w+", expr)}
    wholes = {re.sub(f"({'|'.join(SUFFIXES)})$", "", name) for name in used}
    histograms = {name for name in wholes if types.get(name) == "histogram"}
    return {name for name in used if name.removesuffix("_bucket") not in histograms} | histograms


@pytest.fixture(scope="module")
def types(measured: Measured) -> dict[str, str]:
    web, worker = (exported(measured.read(name).text) for name in ("web", "worker"))
    return web | worker


def test_it_documents_what_is_exported_and_nothing_else(types: dict[str, str]) -> None:
    told = {name: kind for name, kind, _, _ in TABLE.findall(DOCS)}
    assert told == types


def test_it_says_which_process_shows_what(measured: Measured) -> None:
    for process, others in (("web", "worker"), ("worker", "web")):
        shown = exported(measured.read(process).text)
        assert {name for name, _, by, _ in TABLE.findall(DOCS) if by != others} <= set(shown)


def test_the_dashboard_and_the_alerts_use_them_all_and_no_others(types: dict[str, str]) -> None:
    assert names(RULES, types) <= set(types)
    assert names(DASHBOARD, types) | names(RULES, types) == set(types)


def test_it_knows_the_values_of_its_labels(types: dict[str, str]) -> None:
    documents = (PROJECT / "docs/stream.md").read_text(encoding="utf-8") + DOCS
    values = (*metrics.CLOSE_REASONS, *metrics.RESET_REASONS, *metrics.REFUSALS)
    assert [value for value in values if value not in documents] == []
    used = re.findall(r'reason=~?"([\w|]+)"', " ".join(expressions(RULES)))
    assert used
    assert {value for group in used for value in group.split("|")} <= set(metrics.CLOSE_REASONS)


def test_it_has_panels_that_grafana_can_place() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [
        (x, y)
        for panel in panels
        for at in [panel["gridPos"]]
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(places)) == len(places) and max(x for x, _ in places) == 23
    charts = [panel for panel in panels if panel["type"] != "row"]
    assert all(panel["targets"] and panel["title"] for panel in charts)
