"""Names with `*`, which stands for any text. Pure.

Not a regular expression: `*a*a*a*b` as one takes longer with each star, and whoever may open a
stream could hold up everybody's. Here no character is looked at again for another star.
"""

from __future__ import annotations


class Glob:
    """A pattern with at least one `*`."""

    __slots__ = ("_end", "_inner", "_least", "_start")

    def __init__(self, pattern: str) -> None:
        self._start, *inner, self._end = pattern.split("*")
        self._inner = [part for part in inner if part]
        self._least = len(pattern) - pattern.count("*")

    def matches(self, text: str) -> bool:
        if len(text) < self._least:
            return False
        if not (text.startswith(self._start) and text.endswith(self._end)):
            return False
        at, end = len(self._start), len(text) - len(self._end)
        for part in self._inner:  # each as far to the left as it goes: so the most is left
            at = text.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True
