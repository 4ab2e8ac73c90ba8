from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import pre_save


def forget_token(sender: Any, *, instance: Any, **_: Any) -> None:
    """Keep the id of a refresh token and not its text, with which anybody could sign in."""
    instance.token = ""


class AccountsConfig(AppConfig):
    name = "attune.accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        pre_save.connect(forget_token, sender="token_blacklist.OutstandingToken")
