"""The JavaScript of the pages, by node's own test runner; and its filter against Python's."""

from __future__ import annotations

import json
import subprocess
from random import Random

from executions import moves
from executions.eventlog import Event
from executions.parameters import parse_filter
from executions.status import STATUSES
from tests.programs import program
from tests.servers import PROJECT

MODULES = PROJECT / "streaming/static/streaming"


def node(*arguments: str, text: str = "") -> str:
    done = subprocess.run(
        [program("node"), *arguments], input=text, capture_output=True, text=True, cwd=PROJECT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_passes_its_own_tests() -> None:
    node("--test", *sorted(map(str, (PROJECT / "tests/javascript").glob("*.test.mjs"))))


def _query(random: Random) -> dict[str, list[str]]:
    choices = {
        "status": STATUSES,
        "pack": ("a", "b-c", "ab"),
        "action_ref": ("a.x", "a*", "*.x", "a.*y*", "*", "a.x*x", "b-c.y", "a.(", "*b*b*"),
        "parent": ("1", "2"),
        "execution_id": ("3", "4", "5"),
    }
    names = random.sample(sorted(choices), random.randint(0, 2))
    return {name: random.sample(choices[name], random.randint(1, 2)) for name in names}


REFS = ("a.x", "a", "a.xx", "ab.xy", "b-c.y", "a.bb", "a.(\n")


def _event(random: Random, seq: int) -> Event:
    data = {
        "id": random.randint(3, 6),
        "status": random.choice(STATUSES),
        "action_ref": random.choice(REFS),
        "parent": random.choice((None, 1, 2)),
    }
    old_status = random.choice((None, *STATUSES))
    return Event(
        *(seq, data["id"], 1, "UPDATE", data["status"], old_status, data["action_ref"]),
        parent=data["parent"],
        ancestors=None,
        body=json.dumps({"old_status": old_status, "data": data}),
        old_action_ref=random.choice(REFS) if old_status and seq % 3 == 0 else None,
        old_parent=random.choice((None, 1, 2)) if old_status and seq % 5 == 0 else None,
        old_ancestors=[] if old_status and seq % 5 == 0 else None,
    )


def test_its_filter_lets_through_what_the_server_does() -> None:
    random = Random(7)
    cases = [(_query(random), _event(random, seq)) for seq in range(3000)]
    expected = [parse_filter(query).matches(event) for query, event in cases]
    assert 300 < sum(expected) < 2700
    told = [
        {"filters": query, "event": json.loads(moves.told(event, True, True).body)}
        for query, event in cases
    ]
    script = (
        f"import {{ passes }} from {json.dumps((MODULES / 'filters.js').as_uri())};\n"
        'import { readFileSync } from "node:fs";\n'
        "const cases = JSON.parse(readFileSync(0));\n"
        "console.log(JSON.stringify(cases.map(({ filters, event }) => passes(filters, event))));\n"
    )
    found = json.loads(node("--input-type=module", "--eval", script, text=json.dumps(told)))
    different = [case for case, one, two in zip(cases, found, expected, strict=True) if one != two]
    assert different == []
