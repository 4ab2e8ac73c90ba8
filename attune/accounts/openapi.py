"""The ways in, in the words of OpenAPI."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension


class AccessTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "attune.accounts.authentication.AccessTokens"
    name = "jwtAuth"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class MachineTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "attune.accounts.authentication.MachineTokens"
    name = "machineToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        told = "A long-lived token of `manage.py createtoken`; begins with `attune_`."
        return {"type": "http", "scheme": "bearer", "description": told}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "attune.accounts.authentication.Sessions"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        told = "From pages of the same origin only; to change something, with `X-CSRFToken`."
        name = settings.SESSION_COOKIE_NAME
        return {"type": "apiKey", "in": "cookie", "name": name, "description": told}
