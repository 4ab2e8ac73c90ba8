"""What of `deploy/` cannot run here, held against its parser or schema and against the rest."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema.validators import validator_for

from attune import limits
from tests.deployment.deployed import (
    LEFT_OUT,
    compose,
    environment,
    exec_form,
    instructions,
    own_environment,
    program_of,
    unit_command,
)
from tests.deployment.examples import DEPLOY, rendered
from tests.programs import program
from tests.servers import PROJECT

UNITS = sorted(path.name for path in (DEPLOY / "systemd").glob("attune-*.*") if path.is_file())
GRACEFUL = "--timeout-graceful-shutdown"


def run(*command: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=env, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def web_command() -> list[str]:
    return exec_form(instructions("CMD")[-1])


def seconds_to_end(command: list[str]) -> float:
    """Return how long a web process may take from SIGTERM to its end."""
    return limits.from_env().shutdown_seconds + float(command[command.index(GRACEFUL) + 1])


def test_it_is_a_dockerfile() -> None:
    hadolint = program_of(["hadolint"])[0]
    assert run(hadolint, "--no-color", "--failure-threshold", "style", "deploy/Dockerfile") == ""
    assert instructions("USER") == ["10001:10001"]
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert instructions("FROM")[-1].startswith("python:3.11-slim")


def test_it_builds_from_files_that_are_there() -> None:
    """Only what the `.dockerignore` lets through reaches the image."""
    lines = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    passed = {line[1:] for line in lines if line.startswith("!")}
    assert {"attune", "executions", "streaming", "manage.py"} < passed
    assert all((PROJECT / name).exists() for name in passed)
    assert not passed & {"deploy", "tests", "var", ".git"}
    wanted = (PROJECT / "requirements-server.txt").read_text(encoding="utf-8").replace("-", "_")
    assert "requirements-server.txt" in passed
    assert not [name for name in LEFT_OUT if name in wanted]


def test_it_is_a_compose_file() -> None:
    folder = files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((folder / "compose-spec.json").read_text(encoding="utf-8"))
    validator = validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(compose())] == []


def test_it_composes_what_it_promises() -> None:
    services: dict[str, Any] = compose()["services"]
    assert {"postgres", "redis", "migrate", "web1", "web2", "worker1", "worker2"} < set(services)
    for name, service in services.items():
        waits = service.get("depends_on", {})
        assert all(services[other] and how["condition"] for other, how in waits.items()), name
        for variable in service.get("environment", {}):
            is_secret = any(word in variable for word in ("PASSWORD", "SECRET", "DATABASE_URL"))
            assert not is_secret or variable.endswith("_FILE"), variable
        assert set(service.get("secrets", [])) <= set(compose()["secrets"]), name
    assert services["web1"] == services["web2"] and services["worker1"] == services["worker2"]
    port = services["worker1"]["environment"]["ATTUNE_WORKER_METRICS"].partition(":")[2]
    assert f"http://127.0.0.1:{port}/healthz" in services["worker1"]["healthcheck"]["test"][-1]
    grace = float(services["web1"]["stop_grace_period"].removesuffix("s"))
    assert grace > seconds_to_end(web_command())


def test_it_passes_the_checks_of_django(tmp_path: Path) -> None:
    env = environment("web1", tmp_path, database_url="postgresql://x@/x", redis_url="redis://x")
    command = (sys.executable, "manage.py", "check", "--deploy", "--fail-level", "DEBUG")
    said = run(*command, env=own_environment(tmp_path) | env)
    assert "no issues (0 silenced)" in said
    # Those of the units are the same: what is no secret, in a file for systemd to read.
    text = (DEPLOY / "systemd" / "attune.env").read_text(encoding="utf-8")
    names = {line.partition("=")[0] for line in text.splitlines() if not line.startswith("#")}
    assert names == {name for name in env if not name.endswith("_FILE")}


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units with the paths of this machine."""
    (tmp_path / "attune-.service.d").mkdir()
    replaced = {"/opt/attune/.venv/bin": str(Path(sys.executable).parent)}
    for name in UNITS:
        own = {} if name.endswith(".timer") else replaced
        (tmp_path / name).write_text(rendered(f"systemd/{name}", own), encoding="utf-8")
    common = "attune-.service.d/attune.conf"
    text = rendered(f"systemd/{common}", {"/opt/attune": str(PROJECT)})
    (tmp_path / common).write_text(text, encoding="utf-8")
    return tmp_path


def instances(units: Path) -> list[str]:
    return [
        str(units / name.replace("web@.", "web@8001.").replace("worker@.", "worker@1."))
        for name in UNITS
    ]


def test_it_has_units_that_systemd_takes(units: Path) -> None:
    assert run(program("systemd-analyze"), "verify", *instances(units)) == ""


def test_it_lets_units_do_little(units: Path) -> None:
    services = [unit for unit in instances(units) if unit.endswith(".service")]
    # Of 100; 92 is a unit that says nothing.
    limit = ["--offline=yes", "--threshold=15", "--no-pager"]
    run(program("systemd-analyze"), "security", *limit, *services)


def test_it_starts_the_same_from_units_as_from_the_image() -> None:
    command = unit_command("attune-web@.service")
    here = {"/opt/attune/.venv/bin/uvicorn": "uvicorn", "127.0.0.1": "0.0.0.0", "%i": "8000"}
    assert [here.get(word, word) for word in command] == web_command()
    worker = compose()["services"]["worker1"]["command"]
    assert unit_command("attune-worker@.service")[1:] == worker[1:]
    text = (DEPLOY / "systemd" / "attune-web@.service").read_text(encoding="utf-8")
    stop = next(line for line in text.splitlines() if line.startswith("TimeoutStopSec="))
    assert float(stop.partition("=")[2]) > seconds_to_end(command)
