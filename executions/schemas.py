"""A `config` against its action's `param_schema`. Pure."""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import Any

from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import Draft202012Validator, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

MAX_PROBLEMS = 10
MAX_CHARACTERS = 200

_NOTHING_REMOTE: Registry[Any] = Registry()  # a `$ref` must not make this server fetch a URL


def problems(written: str, config: Any) -> list[str]:
    """Return what is wrong with `config`, each with its place; at most MAX_PROBLEMS.

    `written` is the schema as JSON text. One that is none lets nothing pass: what it wanted
    cannot be known.
    """
    try:
        schema = json.loads(written)
        if not isinstance(schema, dict | bool):
            return ["The action's param_schema is no JSON schema."]
        cls: Any = validator_for(schema, default=Draft202012Validator)
        cls.check_schema(schema)
        found = islice(cls(schema, registry=_NOTHING_REMOTE).iter_errors(config), MAX_PROBLEMS)
        return [_told(error) for error in found]
    except (ValueError, SchemaError, Unresolvable, RecursionError, re.error):
        return ["The action's param_schema is no JSON schema that can be used."]


def _told(error: ValidationError) -> str:
    place = ".".join(map(str, error.absolute_path))
    text = f"{place}: {error.message}" if place else error.message
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 3] + "..."
