"""The forms of packs and actions: what the database would refuse is an error in the form."""

from __future__ import annotations

import json
import re
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminTextInputWidget
from django.core.exceptions import ValidationError

from executions.admin.generics import ModelForm
from executions.models import Action, Pack

REF_MAX_LENGTH = 255  # as of `execution.action_ref`, which repeats it

# An escaped NUL, not the text "\\u0000". A jsonb cannot hold the character.
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class JSONTextField(forms.JSONField):
    """JSON as PostgreSQL takes it, which is stricter than Python; indented, empty for null."""

    def bound_data(self, data: Any, initial: Any) -> Any:
        # A form that comes back shows what was typed; parsing it once more could fail.
        return forms.fields.InvalidJSONInput(data or "")

    def prepare_value(self, value: Any) -> Any:
        if value is None:
            return ""
        if isinstance(value, forms.fields.InvalidJSONInput):
            return value
        return json.dumps(value, indent=2, ensure_ascii=False, cls=self.encoder)

    def to_python(self, value: Any) -> Any:
        try:
            parsed = super().to_python(value)
            # NaN, numbers beyond a float and lone surrogates raise here.
            text = json.dumps(parsed, allow_nan=False, ensure_ascii=False)
            text.encode()
        except (ValueError, RecursionError) as exc:
            raise self._invalid(value) from exc
        if _ESCAPED_NUL.search(text):
            raise self._invalid(value)
        return parsed

    def _invalid(self, value: Any) -> ValidationError:
        return ValidationError(
            self.error_messages["invalid"], code="invalid", params={"value": value}
        )


def _ref_field(pattern: str, message: str) -> forms.RegexField:
    return forms.RegexField(
        pattern,
        max_length=REF_MAX_LENGTH,
        widget=AdminTextInputWidget,
        help_text=f"{message} It cannot be changed later: executions name it.",
        error_messages={"invalid": message},
    )


class PackForm(ModelForm[Pack]):
    ref = _ref_field(
        r"\A[a-z][a-z0-9_-]*\Z", "A lower-case letter, then lower-case letters, digits, _ and -."
    )

    class Meta:
        model = Pack
        fields = "__all__"
        widgets = {"label": AdminTextInputWidget, "version": AdminTextInputWidget}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        # Columns without NULL, which is what an empty JSON field stands for elsewhere.
        for name in ("conf_schema", "config", "meta"):
            if name in cleaned and cleaned[name] is None:
                cleaned[name] = {}
        return cleaned


class ActionForm(ModelForm[Action]):
    ref = _ref_field(
        r"\A[a-z][a-z0-9_-]*\.[A-Za-z0-9_.-]+\Z",
        "The pack’s ref, a dot, then letters, digits, _, - and dots.",
    )

    class Meta:
        model = Action
        fields = "__all__"
        widgets = {"label": AdminTextInputWidget, "entrypoint": AdminTextInputWidget}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        ref, pack = cleaned.get("ref"), cleaned.get("pack")
        # Visibility follows the text of the ref, so it must not name another pack.
        if ref and pack and ref.split(".")[0] != pack.ref:
            self.add_error("ref", f"Must begin with “{pack.ref}.”, the ref of its pack.")
        return cleaned
