#!/usr/bin/env python
"""Django's command line for attune; `manage.py help` lists the commands."""

from __future__ import annotations

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "attune.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    if sys.argv[1:2] not in (["runworker"], ["up"]):
        # A folder that servers share is not for commands that come and go.
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    if sys.argv[1:2] == ["up"]:
        os.environ.setdefault("ATTUNE_LOCAL", "true")  # for its children, too
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as exc:
        print(f"attune: {exc}", file=sys.stderr)
        # The 1 of these says what became of an execution or a command.
        sys.exit(2 if sys.argv[1:2] in (["watch"], ["track"], ["doctor"]) else 1)


if __name__ == "__main__":
    main()
