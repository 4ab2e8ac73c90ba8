"""What `manage.py up` tells: where it is, who can sign in, what to paste."""

from __future__ import annotations

import http.client

from django.contrib.auth.models import User

from attune.local.stack import LocalStack

DEMO = "demo"  # user and password; only ever made on the embedded database


def ensure_demo_user() -> bool:
    """Make the demo user where there is none, and say whether its password is ours."""
    user = User.objects.filter(username=DEMO).first()
    if user is None:
        User.objects.create_superuser(DEMO, password=DEMO)
        return True
    return user.check_password(DEMO)


def answers_ready(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def text(url: str, stack: LocalStack, *, demo: bool) -> str:
    """Return the lines shown once everything is up."""
    user = DEMO if demo else "USER"
    password = DEMO if demo else "PASSWORD"
    sign_in = f"{DEMO} / {DEMO}" if demo else "your own user (manage.py createsuperuser makes one)"
    token = (
        f"TOKEN=$(curl -s {url}/api/v1/auth/token -d 'username={user}&password={password}'"
        """ | sed 's/.*"access":"\\([^"]*\\)".*/\\1/')"""
    )
    return f"""
attune runs at {url}/   sign in: {sign_in}
(the admin is at {url}/admin/)

Watch live events (paste into a second terminal):

  {token}
  curl -N -H "Authorization: Bearer $TOKEN" {url}/api/v1/executions/stream

Change something (a third terminal), in SQL:

  {stack.psql} -c \\
    "INSERT INTO attune.execution (action_ref, status) VALUES ('demo.hello', 'running')"

or let it move by itself:

  .venv/bin/python manage.py simulate --rate 5

Ctrl-C stops everything.
"""
