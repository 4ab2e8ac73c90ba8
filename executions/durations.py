"""How long something took, as people read it. Pure."""

from __future__ import annotations

from datetime import timedelta


def duration(span: timedelta) -> str:
    """Return the two largest units of `span`: `350 ms`, `12 s`, `1 m 12 s`, `3 d 4 h`."""
    # Two clocks may disagree by a little; nothing runs for less than no time.
    span = max(span, timedelta())
    if span < timedelta(seconds=1):
        return f"{span // timedelta(milliseconds=1)} ms"
    minutes, seconds = divmod(int(span.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [(days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")]
    first = next(place for place, (number, _) in enumerate(units) if number)
    return " ".join(f"{number} {unit}" for number, unit in units[first : first + 2])
