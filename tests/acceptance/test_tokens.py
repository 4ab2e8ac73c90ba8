"""JWT: what is refused, how refresh tokens turn over, and what a new password ends."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings

from tests.acceptance.test_credentials import api, bearer, set_password, status_of
from tests.servers import Stack, add_user

Claims = dict[str, Any]
KEY: str = settings.SIMPLE_JWT["SIGNING_KEY"]


@pytest.fixture
def user(stack: Stack) -> str:
    name = f"user-{uuid4().hex[:8]}"
    add_user(stack.database_url, name)
    return name


def pair(stack: Stack, username: str) -> dict[str, str]:
    credentials = {"username": username, "password": "secret"}
    answer = httpx.post(api(stack, "auth/token"), json=credentials)
    assert answer.status_code == 200, answer.text
    tokens: dict[str, str] = answer.json()
    return tokens


def refresh(stack: Stack, token: str) -> httpx.Response:
    return httpx.post(api(stack, "auth/token/refresh"), json={"refresh": token})


def claims_of(token: str) -> Claims:
    claims: Claims = jwt.decode(token, options={"verify_signature": False})
    return claims


def signed(claims: Claims, *, key: str = KEY, **changed: Any) -> str:
    return jwt.encode({**claims, **changed}, key, algorithm="HS256")


def without(claims: Claims, name: str) -> str:
    return signed({key: value for key, value in claims.items() if key != name})


def unsigned(claims: Claims) -> str:
    def part(data: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


def rsa_signed(claims: Claims) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return jwt.encode(claims, pem, algorithm="RS256")


FORGERIES: dict[str, Callable[[Claims], str]] = {
    "alg none": unsigned,
    "another algorithm": rsa_signed,
    "a longer hash with our key": lambda claims: jwt.encode(claims, KEY, algorithm="HS512"),
    "another key": lambda claims: signed(claims, key="x" * 64),
    "the cookies' key": lambda claims: signed(claims, key=settings.SECRET_KEY),
    "no signature": lambda claims: signed(claims).rpartition(".")[0] + ".",
    "expired": lambda claims: signed(claims, exp=int(time.time()) - 1),
    "not before tomorrow": lambda claims: signed(claims, nbf=int(time.time()) + 86_400),
    "issued tomorrow": lambda claims: signed(claims, iat=int(time.time()) + 86_400),
    "another issuer": lambda claims: signed(claims, iss="another"),
    "another audience": lambda claims: signed(claims, aud="another"),
    "no issuer": lambda claims: without(claims, "iss"),
    "no audience": lambda claims: without(claims, "aud"),
    "no expiry": lambda claims: without(claims, "exp"),
    "no user": lambda claims: without(claims, "user_id"),
    "no password": lambda claims: without(claims, "hash_password"),
    "a user that is none": lambda claims: signed(claims, user_id="9" * 30),
    "a user that is a text": lambda claims: signed(claims, user_id="1 OR 1=1"),
    "a refresh token": lambda claims: signed(claims, token_type="refresh"),
}


@pytest.mark.parametrize("name", sorted(FORGERIES))
def test_it_refuses_a_forged_token(stack: Stack, name: str) -> None:
    claims = claims_of(stack.token())
    assert httpx.get(api(stack, "executions"), headers=bearer(signed(claims))).status_code == 200
    forged = bearer(FORGERIES[name](claims))
    answer = httpx.get(api(stack, "executions"), headers=forged)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert status_of(stack, headers=forged) == 401


def test_it_takes_a_refresh_token_once(stack: Stack, user: str) -> None:
    first = pair(stack, user)
    second = refresh(stack, first["refresh"]).json()
    assert set(second) == {"access", "refresh"}
    assert refresh(stack, first["refresh"]).status_code == 401
    assert refresh(stack, second["refresh"]).status_code == 200
    assert status_of(stack, headers=bearer(second["access"])) == 200


def test_it_serves_one_of_many_that_refresh_by_the_same_token(stack: Stack, user: str) -> None:
    token = pair(stack, user)["refresh"]
    with ThreadPoolExecutor(8) as threads:
        statuses = [answer.status_code for answer in threads.map(refresh, [stack] * 8, [token] * 8)]
    assert sorted(statuses) == [200] + [401] * 7


def test_it_signs_out(stack: Stack, user: str) -> None:
    token = pair(stack, user)["refresh"]
    url = api(stack, "auth/token/blacklist")
    assert httpx.post(url, json={"refresh": token}).status_code == 200
    assert refresh(stack, token).status_code == 401
    assert httpx.post(url, json={"refresh": token}).status_code == 401


def test_it_ends_every_token_with_the_password(stack: Stack, user: str) -> None:
    tokens = pair(stack, user)
    set_password(stack, user)
    answer = httpx.get(api(stack, "executions"), headers=bearer(tokens["access"]))
    assert (answer.status_code, answer.json()["code"]) == (401, "authentication_failed")
    assert refresh(stack, tokens["refresh"]).status_code == 401
    assert status_of(stack, headers=bearer(tokens["access"])) == 401


def test_it_refreshes_nothing_for_who_has_left(stack: Stack, user: str) -> None:
    tokens = pair(stack, user)
    with stack.sql() as conn:
        conn.execute("UPDATE attune.auth_user SET is_active = false WHERE username = %s", [user])
        assert refresh(stack, tokens["refresh"]).status_code == 401
        conn.execute("UPDATE attune.auth_user SET username = 'gone' WHERE username = %s", [user])
        conn.execute(
            "DELETE FROM attune.token_blacklist_outstandingtoken USING attune.auth_user"
            " WHERE auth_user.id = user_id AND username = 'gone'"
        )
        conn.execute("DELETE FROM attune.auth_user WHERE username = 'gone'")
    assert refresh(stack, tokens["refresh"]).status_code == 401


def test_it_keeps_no_refresh_token_that_could_be_read(stack: Stack, user: str) -> None:
    token = pair(stack, user)["refresh"]
    with stack.sql() as conn:
        rows = conn.execute("SELECT t::text FROM attune.token_blacklist_outstandingtoken t")
        assert not any(token.rpartition(".")[2] in row[0] for row in rows)
