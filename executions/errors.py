"""The body of every error of the API: `{"detail": …, "code": …}`, and the list of codes."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from rest_framework.exceptions import APIException, ValidationError

MAX_DETAIL_CHARACTERS = 500


class Code(StrEnum):
    """What a program may ask an error for; docs/api.md says when each comes."""

    INVALID = "invalid"
    PARSE_ERROR = "parse_error"
    NOT_AUTHENTICATED = "not_authenticated"
    AUTHENTICATION_FAILED = "authentication_failed"
    NO_ACTIVE_ACCOUNT = "no_active_account"
    TOKEN_NOT_VALID = "token_not_valid"
    PERMISSION_DENIED = "permission_denied"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_ACCEPTABLE = "not_acceptable"
    TRANSITION_NOT_ALLOWED = "transition_not_allowed"
    VERSION_CONFLICT = "version_conflict"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    THROTTLED = "throttled"
    ERROR = "error"
    UNAVAILABLE = "unavailable"


# For what a library calls by a name of its own.
BY_STATUS = {
    400: Code.INVALID,
    401: Code.AUTHENTICATION_FAILED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    406: Code.NOT_ACCEPTABLE,
    413: Code.TOO_LARGE,
    415: Code.UNSUPPORTED_MEDIA_TYPE,
    429: Code.THROTTLED,
    503: Code.UNAVAILABLE,
}


def body(detail: str, code: Code, **more: Any) -> dict[str, Any]:
    return {"detail": detail, "code": code, **more}


def body_of(exc: APIException) -> dict[str, Any]:
    """Return what the client is told of this error."""
    if isinstance(exc, ValidationError):
        errors = _by_field(exc.detail)
        told = " ".join(f"{field}: {text}" for field, texts in errors.items() for text in texts)
        if len(told) > MAX_DETAIL_CHARACTERS:
            told = told[: MAX_DETAIL_CHARACTERS - 3] + "..."
        return body(told, Code.INVALID, errors=errors)
    detail: Any = exc.detail
    code: Any = exc.get_codes()
    if isinstance(detail, dict):  # simplejwt's
        detail, code = detail.get("detail", ""), detail.get("code", "")
    return body(str(detail), _code(str(code), exc.status_code), **getattr(exc, "more", {}))


def _code(raw: str, status: int) -> Code:
    return Code(raw) if raw in list(Code) else BY_STATUS.get(status, Code.ERROR)


def _by_field(detail: Any) -> dict[str, list[str]]:
    """Flatten the messages of serializers: a field, and what is wrong with it."""
    if not isinstance(detail, dict):
        return {"non_field_errors": _texts(detail)}
    return {_encodable(str(field)): _texts(value) for field, value in detail.items()}


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{key}: {text}" for key, inner in value.items() for text in _texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [_encodable(str(value))]


def _encodable(text: str) -> str:
    """Return the text without halves of surrogate pairs, which a client may send in JSON."""
    return text.encode("utf-8", "replace").decode()
