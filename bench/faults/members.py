"""Who connects: clients of every kind, and crowds of one."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from bench.faults.clients import NEVER_READING, RECONNECTING, RELOADING, SLOW, STEADY, ClientSpec
from bench.faults.facts import Watch
from bench.faults.fleet import Member
from bench.faults.system import RESTRICTED_PACK

STORM_CLIENTS = 1000
MUTE_CLIENTS = 50


@dataclass(frozen=True, slots=True)
class Place:
    """Where clients go: `token` is had by user name, `pinned` are the executions that stay."""

    token: Callable[[str], str]
    pinned: list[int]
    random: random.Random


def usual(place: Place) -> list[Member]:
    """Two that see all, one of every other kind, and several that keep reconnecting."""
    admin, outsider = (place.token(name) for name in ("all", "outsider"))
    hidden = frozenset({RESTRICTED_PACK})
    everything, outside = Watch(), Watch(hidden=hidden)
    one = Watch(executions=frozenset({place.pinned[0]}))
    alpha = Watch(packs=frozenset({"alpha"}))
    ended = Watch(statuses=frozenset({"completed", "failed"}))
    restricted = Watch(packs=hidden, hidden=hidden)
    return [
        member(place, "all 1", everything, admin, healthy=True),
        member(place, "all 2", everything, admin, healthy=True),
        member(place, "one execution", one, admin),
        member(place, "one pack", alpha, admin),
        member(place, "by status", ended, admin),
        member(place, "outsider", outside, outsider),
        member(place, "outsider at the restricted pack", restricted, outsider),
        member(place, "slow", everything, admin, pace=SLOW),
        member(place, "all, reconnecting", everything, admin, pace=RECONNECTING),
        member(place, "one execution, reconnecting", one, admin, pace=RECONNECTING),
        member(place, "by status, reconnecting", ended, admin, pace=RECONNECTING),
        member(place, "outsider, reconnecting", outside, outsider, pace=RECONNECTING),
        member(place, "all, reloading", everything, admin, pace=RELOADING),
        member(place, "by status, reloading", ended, admin, pace=RELOADING),
        member(place, "outsider, reloading", outside, outsider, pace=RELOADING),
    ]


def reconnecting(place: Place) -> list[Member]:
    token = place.token("all")
    watches = [Watch(), Watch(packs=frozenset({"beta"})), Watch(statuses=frozenset({"running"}))]
    return [
        member(place, f"reconnecting {n}", watches[n % 3], token, pace=RECONNECTING)
        for n in range(12)
    ]


def storm(place: Place) -> list[Member]:
    """Most watch one execution each, as the page of an execution does; the others a list."""
    admin, outsider = place.token("all"), place.token("outsider")
    hidden = frozenset({RESTRICTED_PACK})
    members = []
    for n in range(STORM_CLIENTS):
        if n % 10 == 0:
            members.append(member(place, f"storm {n}", Watch(), admin))
        elif n % 10 == 1:
            members.append(member(place, f"storm {n}", Watch(hidden=hidden), outsider))
        else:
            one = Watch(executions=frozenset({place.pinned[n % len(place.pinned)]}))
            members.append(member(place, f"storm {n}", one, admin))
    return members


def mutes(place: Place) -> list[Member]:
    token = place.token("all")
    return [
        member(place, f"mute {n}", Watch(), token, pace=NEVER_READING) for n in range(MUTE_CLIENTS)
    ]


def member(
    place: Place,
    name: str,
    watch: Watch,
    token: str,
    *,
    pace: str = STEADY,
    healthy: bool = False,
) -> Member:
    parts = [
        *(["snapshot=true"] if pace == RELOADING else []),
        *(f"execution_id={execution}" for execution in sorted(watch.executions)),
        *(f"pack={pack}" for pack in sorted(watch.packs)),
        *(f"status={status}" for status in sorted(watch.statuses)),
    ]
    query = "?" + "&".join(parts) if parts else ""
    seed = place.random.getrandbits(32)
    return Member(ClientSpec(name, query, token, pace, seed), watch, healthy)
