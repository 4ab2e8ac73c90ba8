"""What the documents say is what ships."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields

import pytest

from attune.limits import Limits
from streaming import filters
from tests.rows import Connection, add_execution, one
from tests.servers import PROJECT, Stack, add_demo, product_env, wait_for

README = (PROJECT / "README.md").read_text(encoding="utf-8")
FOLDERS = "attune|executions|streaming|tests|bench|deploy"
DOCS = {path.name: path.read_text(encoding="utf-8") for path in (PROJECT / "docs").glob("*.md")}


def test_it_runs_the_python_of_the_readme(stack: Stack) -> None:
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code is not None
    program = code[1].replace("http://127.0.0.1:8080", stack.url)
    with stack.sql() as conn:
        add_demo(stack.database_url)
        reader = subprocess.Popen(
            [sys.executable, "-u", "-c", program], stdout=subprocess.PIPE, text=True
        )
        try:
            wait_for(lambda: stack.metric("attune_streams") == 1, "the snippet to connect")
            execution = add_execution(conn, status="running")
            assert reader.stdout is not None
            assert any(line.split() == [str(execution), "running"] for line in reader.stdout)
        finally:
            reader.kill()
            reader.communicate()


def test_it_documents_every_limit() -> None:
    rows = re.findall(r"^\| `(ATTUNE_\w+)` \|", DOCS["settings.md"], re.MULTILINE)
    limits = {f"ATTUNE_{field.name.upper()}" for field in fields(Limits)}
    assert limits <= set(rows)


def test_it_documents_every_setting_and_no_other() -> None:
    sources = ("attune/settings.py", "attune/limits.py", "attune/local/paths.py")
    code = "".join((PROJECT / name).read_text(encoding="utf-8") for name in sources)
    read = set(re.findall(r'"((?:ATTUNE_|DATABASE_URL|REDIS_URL)\w*)"', code))
    told = set(re.findall(r"^\| `(\w+)` \|", README + DOCS["settings.md"], re.MULTILINE))
    assert read == told


def test_it_documents_every_parameter_of_the_stream() -> None:
    told = set(re.findall(r"^\| `(\w+)` \|", DOCS["stream.md"], re.MULTILINE))
    assert set(filters.PARAMETERS) <= told


@pytest.mark.parametrize("name", ["README.md", *(f"docs/{name}" for name in sorted(DOCS))])
def test_it_links_and_names_files_that_exist(name: str) -> None:
    document = PROJECT / name
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!http)([^)#]+)", text)
    files = re.findall(rf"`((?:{FOLDERS})/[\w/.@-]+\.\w+)`", text)
    missing = [x for x in links if not (document.parent / x).exists()]
    missing += [x for x in files if not (PROJECT / x).exists()]
    assert missing == []


def test_it_upgrades_and_goes_back_as_the_document_says(conn: Connection, database: str) -> None:
    forth, back = re.findall(r"```sh\n(.*?)```", DOCS["upgrades.md"], re.DOTALL)
    (target,) = set(re.findall(r"migrate executions (\d+)", back))
    applied = "SELECT max(name) FROM attune.django_migrations WHERE app = 'executions'"
    newest = one(conn, applied)

    def run(block: str) -> None:
        for line in block.splitlines():
            if not line.startswith("#"):
                command = line.replace("python", sys.executable, 1)
                subprocess.run(
                    command, shell=True, check=True, env=product_env(database), cwd=PROJECT
                )

    run(back)
    assert one(conn, applied).startswith(target)
    run(forth)
    assert one(conn, applied) == newest
    # Every migration is in the table of what a way back loses.
    told = re.findall(r"\d{4}_\w+", DOCS["upgrades.md"].partition("is lost")[2])
    names = {path.stem for path in (PROJECT / "executions/migrations").glob("[0-9]*.py")}
    assert names - set(told) == {"0001_initial", "0002_rules"}
