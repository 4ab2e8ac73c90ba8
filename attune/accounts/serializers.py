from __future__ import annotations

from typing import Any, cast

from django.contrib.auth.models import User
from django.db import transaction
from rest_framework import serializers
from rest_framework_simplejwt.exceptions import InvalidToken
from rest_framework_simplejwt.serializers import TokenRefreshSerializer
from rest_framework_simplejwt.tokens import RefreshToken

from attune.accounts import credentials

# Comments and not docstrings, where OpenAPI would show them.


class RefreshSerializer(TokenRefreshSerializer):
    # simplejwt's looks at neither a new password nor a deleted user, and of two that come with
    # the same token at once it serves both.

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        refresh = RefreshToken(attrs["refresh"])
        with transaction.atomic():
            # Locked: a new password that comes now waits, and finds the new token given out by the
            # old one.
            users = User.objects.select_for_update(no_key=True)
            user = users.filter(pk=refresh["user_id"]).first()
            if user is None or not credentials.live([credentials.of_access_token(refresh)]):
                raise InvalidToken("The user is gone, not active, or has a new password.")
            _, is_first = cast(tuple[Any, bool], refresh.blacklist())
            if not is_first:
                raise InvalidToken("Token is blacklisted")
            following = RefreshToken.for_user(user)
        return {"access": str(following.access_token), "refresh": str(following)}


class TicketSerializer(serializers.Serializer[Any]):
    ticket = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds.")
