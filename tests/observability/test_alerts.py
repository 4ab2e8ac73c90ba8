"""The alert rules, by Prometheus' own tool."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml

from tests.programs import program
from tests.servers import PROJECT

RULES = PROJECT / "deploy/prometheus/alerts.yml"
CASES = Path(__file__).with_name("alerts_test.yml")


def promtool(*command: str) -> str:
    done = subprocess.run([program("promtool"), *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_has_rules_that_prometheus_takes() -> None:
    assert "SUCCESS" in promtool("check", "rules", str(RULES))


def test_it_alerts_when_it_should_and_not_before() -> None:
    assert "SUCCESS" in promtool("test", "rules", str(CASES))


def test_it_tests_every_alert_both_ways() -> None:
    alerts = {
        rule["alert"]
        for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    }
    cases = [
        case
        for test in yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]
        for case in test["alert_rule_test"]
    ]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == alerts


def test_the_runbook_has_a_section_for_every_alert_and_no_other() -> None:
    text = (PROJECT / "docs/operations.md").read_text(encoding="utf-8")
    chapter = text.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", chapter, re.MULTILINE | re.DOTALL))
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    assert list(sections) == [rule["alert"] for group in rules for rule in group["rules"]]
    for name, section in sections.items():
        lines = section.lower()
        assert all(word in lines for word in ("meaning:", "check", "fix")), name
