from __future__ import annotations


class LocalStackError(Exception):
    """The local stack cannot start; the message says why and what to do."""
