"""Who connects to a soak: half of them to either web process, some to both by turns."""

from __future__ import annotations

from dataclasses import replace

from bench.faults import members
from bench.faults.clients import NEVER_READING, RECONNECTING, RELOADING
from bench.faults.facts import Watch
from bench.faults.fleet import Member
from bench.faults.members import Place, member
from bench.faults.system import RESTRICTED_PACK

# A connection of those that come and go, at the most.
KEEP_SECONDS = 30.0
MUTES = 4


def steady(place: Place, web: int, clients: int) -> list[Member]:
    """They stay with their web process, so that what it holds is comparable over time."""
    admin, outsider = place.token("all"), place.token("outsider")
    hidden = frozenset({RESTRICTED_PACK})
    kinds = [
        (Watch(), admin),
        (Watch(hidden=hidden), outsider),
        (Watch(packs=frozenset({"alpha"})), admin),
        (Watch(statuses=frozenset({"completed", "failed"})), admin),
        *((Watch(executions=frozenset({one})), admin) for one in place.pinned[:4]),
    ]
    return [
        member(place, f"web{web} steady {n}", *kinds[n % len(kinds)], healthy=n < 1)
        for n in range(clients)
    ]


def wandering(place: Place, clients: int) -> list[Member]:
    """One of each kind and temper, those that come and go, and those that never read."""
    admin = place.token("all")
    watches = [Watch(), Watch(packs=frozenset({"beta"})), Watch(statuses=frozenset({"running"}))]
    coming = [
        member(place, f"coming {n}", watches[n % 3], admin, pace=(RECONNECTING, RELOADING)[n % 2])
        for n in range(clients)
    ]
    kept = [
        replace(one, spec=replace(one.spec, keep_seconds=KEEP_SECONDS), healthy=False)
        for one in members.usual(place) + coming
    ]
    mute = [member(place, f"mute {n}", Watch(), admin, pace=NEVER_READING) for n in range(MUTES)]
    return kept + mute
