from __future__ import annotations

from django.apps import AppConfig


class AttuneConfig(AppConfig):
    name = "attune"
    verbose_name = "attune"
