"""The JavaScript of the README, on Node."""

from __future__ import annotations

import re
import subprocess

from tests.acceptance.test_docs import README
from tests.programs import program
from tests.rows import add_execution
from tests.servers import PROJECT, Stack, wait_for


def test_it_runs_the_javascript_of_the_readme(stack: Stack) -> None:
    code = re.search(r"```js\n(.*?)```", README, re.DOTALL)
    assert code is not None
    script = code[1].replace("http://127.0.0.1:8080", stack.url).replace('"demo"', '"alice"', 1)
    script = script.replace('password: "demo"', 'password: "secret"')
    modules = (PROJECT / "streaming").as_uri()
    script = script.replace("./streaming", modules)
    with stack.sql() as conn:
        reader = subprocess.Popen(
            [program("node"), "--input-type=module", "--eval", script],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            wait_for(lambda: stack.metric("attune_streams") == 1, "the snippet to connect")
            execution = add_execution(conn, status="running")
            assert reader.stdout is not None
            assert any(line.split() == [str(execution), "running"] for line in reader.stdout)
        finally:
            reader.kill()
            reader.communicate()
