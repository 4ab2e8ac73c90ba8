from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from attune import env, redisurl


@pytest.fixture
def setenv(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("NAME", raising=False)
    return monkeypatch


def test_it_takes_defaults(setenv: pytest.MonkeyPatch) -> None:
    assert env.text("NAME", "x") == "x"
    assert env.boolean("NAME", default=True) is True
    assert env.number("NAME", default=1.5, low=0, high=2) == 1.5
    assert env.integer("NAME", default=3, low=0, high=5) == 3
    assert env.words("NAME", default=["a"]) == ["a"]
    assert env.database_url("NAME") == {}


def test_it_reads_a_secret_from_a_file(setenv: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hidden\n")
    setenv.setenv("NAME_FILE", str(tmp_path / "secret"))
    assert env.text("NAME") == "hidden"
    setenv.setenv("NAME", "plain")
    assert env.text("NAME") == "plain"
    setenv.delenv("NAME")
    setenv.setenv("NAME_FILE", str(tmp_path / "missing"))
    with pytest.raises(ImproperlyConfigured, match="NAME_FILE"):
        env.text("NAME")


@pytest.mark.parametrize("value", ["1", "true", "YES", "on"])
def test_it_reads_a_yes(setenv: pytest.MonkeyPatch, value: str) -> None:
    setenv.setenv("NAME", value)
    assert env.boolean("NAME", default=False) is True


@pytest.mark.parametrize("value", ["x", "1.5", "9", "-1", "nan", "inf", "1e400"])
def test_it_refuses_a_wrong_number(setenv: pytest.MonkeyPatch, value: str) -> None:
    setenv.setenv("NAME", value)
    with pytest.raises(ImproperlyConfigured, match="^NAME: "):
        env.integer("NAME", default=1, low=0, high=5)
    if value != "1.5":
        with pytest.raises(ImproperlyConfigured, match="^NAME: "):
            env.number("NAME", default=1, low=0, high=5)


@pytest.mark.parametrize("value", ["foo", "mysql://x/y", "postgresql://", "postgresql://h:port/x"])
def test_it_refuses_a_wrong_database_url(setenv: pytest.MonkeyPatch, value: str) -> None:
    setenv.setenv("NAME", value)
    with pytest.raises(ImproperlyConfigured, match="^NAME: .*postgresql://user"):
        env.database_url("NAME")


def test_it_reads_a_database_url_as_libpq_does(setenv: pytest.MonkeyPatch) -> None:
    setenv.setenv("NAME", "postgresql://u:p%40@h:5433/d?sslmode=require")
    assert env.database_url("NAME") == {
        "user": "u",
        "password": "p@",
        "host": "h",
        "port": "5433",
        "dbname": "d",
        "sslmode": "require",
    }


@pytest.mark.parametrize(
    "value",
    [
        *("localhost", "http://x", "redis://", ","),
        *("redis+sentinel://a:1", "redis+sentinel:///main", "redis+sentinel://a:1,b:2/main"),
        *("redis+sentinel://a:99999/main", "redis+sentinel://a:x/main", "redis+sentinel://a+/main"),
        *("redis+sentinel://[1::2::3]/main", "redis+sentinel://a/main?password=x"),
        *("redis+sentinel://secret@a/main", "redis+sentinel://a/main/x", "redis+sentinel://a/"),
    ],
)
def test_it_refuses_a_wrong_redis_url(setenv: pytest.MonkeyPatch, value: str) -> None:
    setenv.setenv("NAME", value)
    with pytest.raises(ImproperlyConfigured, match="^NAME: "):
        env.redis_urls("NAME")


def test_it_reads_shards(setenv: pytest.MonkeyPatch) -> None:
    setenv.setenv("NAME", "redis://a:1/0, unix:///run/redis.sock")
    assert env.redis_urls("NAME") == ["redis://a:1/0", "unix:///run/redis.sock"]


def test_it_takes_sentinels_beside_shards(setenv: pytest.MonkeyPatch) -> None:
    watched = "redis+sentinel://:p%40ss@a:1+[::1]+b/main/2?sentinel_password=s%2Bt"
    setenv.setenv("NAME", f"{watched}, redis://c:1/0")
    assert env.redis_urls("NAME") == [watched, "redis://c:1/0"]
    host = redisurl.layer_host(watched)
    assert host["sentinels"] == [("a", 1), ("::1", 26379), ("b", 26379)]
    assert (host["master_name"], host["db"], host["password"]) == ("main", 2, "p@ss")
    assert host["sentinel_kwargs"]["password"] == "s+t"
    plain = redisurl.layer_host("redis://c:1/0")
    assert plain == {"address": "redis://c:1/0", "protocol": host["protocol"]}
