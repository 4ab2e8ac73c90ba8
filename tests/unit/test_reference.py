"""The reference pages against the code, in both directions."""

from __future__ import annotations

import re

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

import attune
from executions.api.shapes import ExecutionEventSerializer
from executions.errors import Code
from streaming import metrics
from streaming.openapi import FRAMES
from tests.servers import PROJECT

DOCS = {path.name: path.read_text(encoding="utf-8") for path in (PROJECT / "docs").glob("*.md")}
OUR_APPS = ("attune", "attune.accounts", "executions", "streaming")
COMMANDS = {name: app for name, app in get_commands().items() if app in OUR_APPS}
# What a parser has of Django's own.
DJANGOS = {
    option
    for action in BaseCommand().create_parser("manage.py", "any")._actions
    for option in action.option_strings
}


def first_column(text: str) -> set[str]:
    """Return what stands in code style in the first cells of all tables."""
    cells = re.findall(r"^\| ([^|]*`[^|]*) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def section(document: str, title: str) -> str:
    """Return what follows a heading or a line, up to the next heading or paragraph end."""
    return DOCS[document].partition(title)[2]


def test_it_lists_every_command_and_no_other() -> None:
    told = set(re.findall(r"^### (\w+)$", DOCS["commands.md"], re.MULTILINE))
    assert told == set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_it_lists_every_option_of_a_command_and_no_other(name: str) -> None:
    command = load_command_class(COMMANDS[name], name)
    actions = command.create_parser("manage.py", name)._actions
    options = {max(action.option_strings, key=len, default=action.dest) for action in actions}
    text = section("commands.md", f"### {name}\n").partition("\n##")[0]
    # The command line of `track` is in the text.
    assert first_column(text) == {o for o in options if o not in DJANGOS and o != "command"}


def test_it_lists_every_target_of_make() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split())
    told = {name.removeprefix("make ") for name in first_column(section("commands.md", "## make"))}
    assert told == targets


def test_it_lists_every_error_code_and_no_other() -> None:
    table = section("api.md", "| code | when |").partition("\n\n")[0]
    assert first_column(table) == set(Code)


def test_it_lists_every_reason_of_close_and_reset() -> None:
    stream = DOCS["stream.md"]
    table = section("stream.md", "Reasons of `close`:\n\n").partition("\n\n")[0]
    assert first_column(table) == set(metrics.CLOSE_REASONS) - {"end", "cut"}
    (row,) = re.findall(r"^\| `reset` \|.*", stream, re.MULTILINE)
    assert set(metrics.RESET_REASONS) <= set(re.findall(r"`([^`]+)`", row))


def test_it_lists_every_frame_and_every_key_of_an_event() -> None:
    frames = {one["properties"]["event"]["const"] for one in FRAMES["StreamFrame"]["oneOf"]}
    table = section("stream.md", "| frame | meaning |").partition("\n\n")[0]
    told = {row.split("`")[1] for row in table.splitlines() if row.startswith("| `")}
    assert told == frames - {"message"} | {": heartbeat"}
    keys = section("stream.md", "An event:\n\n").partition("\n\n")[0]
    assert first_column(keys) == set(ExecutionEventSerializer().fields)


def test_every_page_is_in_the_index() -> None:
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", DOCS["README.md"]))
    assert listed == set(DOCS) - {"README.md"}


def test_the_version_stands_in_one_place() -> None:
    places = [
        path.relative_to(PROJECT).as_posix()
        for folder in ("attune", "executions", "streaming", "deploy", "docs")
        for path in (PROJECT / folder).rglob("*")
        if path.is_file() and path.suffix in (".py", ".md", ".yaml", ".toml", ".cfg")
        if attune.__version__ in path.read_text(encoding="utf-8")
    ]
    assert places == ["attune/__init__.py"]
