"""`manage.py psql`: PostgreSQL's own terminal on the project's database."""

from __future__ import annotations

import os
import shutil
from typing import Any

from django.core.management.base import BaseCommand

from attune.local.postgres import embedded_program
from executions.database import conninfo


class Command(BaseCommand):
    help = "Open psql (an installed one, else the embedded server's) on the database."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        program = shutil.which("psql") or str(embedded_program("psql"))
        os.execv(program, [program, conninfo(application="attune psql")])
