"""`manage.py doctor`: looks at every part, and says what to do about what it finds."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from streaming.client import PasswordTokens, TokenProvider
from streaming.doctor import canary, configuration, database, layer
from streaming.doctor.findings import EXIT_STATUS, Finding, worst


class Command(BaseCommand):
    help = (
        "Look at settings, database, Redis and workers, and say what to do about what is wrong."
        " Changes nothing, but for --url. Exit status: 0 fine; 1 warnings; 2 errors."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object, for scripts")
        parser.add_argument(
            "--url",
            help="also make an execution (attune.doctor), time its event to a client of this web"
            " server, and finish it. Who you are: --token, ATTUNE_TOKEN, or ATTUNE_USERNAME and"
            " ATTUNE_PASSWORD",
        )
        parser.add_argument("--token", help="an access or machine token, instead of ATTUNE_TOKEN")

    def handle(self, *args: Any, **options: Any) -> None:
        findings: list[Finding] = []
        try:
            self._look(findings, options)
        finally:
            if options["json"]:
                self._write_json(findings)
        sys.exit(EXIT_STATUS[worst(findings)])

    def _look(self, findings: list[Finding], options: dict[str, Any]) -> None:
        def found(finding: Finding) -> None:
            findings.append(finding)
            if not options["json"]:
                self.stdout.write(finding.as_text())
                self.stdout.flush()

        for finding in configuration.examine(settings):
            found(finding)
        with asyncio.Runner() as runner:
            runner.run(_ask(found, options))

    def _write_json(self, findings: list[Finding]) -> None:
        report = {
            "status": worst(findings),
            "findings": [finding.as_json() for finding in findings],
        }
        self.stdout.write(json.dumps(report, indent=2))


async def _ask(found: Any, options: dict[str, Any]) -> None:
    async for finding in database.examine(settings.ATTUNE, adaptive=settings.NOTIFY == "adaptive"):
        found(finding)
    async for finding in layer.examine(settings.REDIS_URLS, settings.CHANNEL_LAYERS):
        found(finding)
    if url := options["url"]:
        found(await canary.examine(url, _credentials(url, options["token"])))


def _credentials(url: str, token: str | None) -> str | TokenProvider:
    watch = settings.WATCH
    known = token or watch["token"]
    return known or PasswordTokens(url, watch["username"], watch["password"])
