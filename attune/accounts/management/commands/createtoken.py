"""`manage.py createtoken USER`: a long-lived token for a program."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from knox.models import AuthToken

DAYS = 365


class Command(BaseCommand):
    help = (
        "Make a long-lived token for a program that acts as USER, and print it: this once, only"
        " its hash is kept. Deleting it in the admin revokes it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", help="the user whom the program acts as")
        parser.add_argument(
            "--days", type=int, default=DAYS, help=f"how long it is good for ({DAYS})"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        username, days = options["username"], options["days"]
        if not 1 <= days <= 36_500:
            raise CommandError(f"--days {days}: use 1 to 36500")
        user = User.objects.filter(username=username, is_active=True).first()
        if user is None:
            raise CommandError(f"no active user {username!r}; manage.py createsuperuser makes one")
        _, token = AuthToken.objects.create(user=user, expiry=timedelta(days=days))
        self.stdout.write(token)
