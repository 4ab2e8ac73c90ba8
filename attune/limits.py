"""Every limit and interval of the product, each with its variable, unit and range.

`docs/settings.md` lists them; a test holds the two against each other.
"""

from __future__ import annotations

from dataclasses import dataclass

from attune import env

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits as read from the environment at start."""

    heartbeat_seconds: float
    retry_milliseconds: int
    result_max_bytes: int
    database_connections: int
    query_seconds: float
    max_lifetime_seconds: float
    slow_client_seconds: float
    unsent_bytes: int
    access_check_seconds: float
    shutdown_seconds: float
    streams_per_user: int
    streams_per_address: int
    stream_lease_seconds: float
    body_bytes: int
    header_bytes: int
    url_bytes: int
    request_seconds: float
    login_failures: int
    login_failures_per_address: int
    login_window_seconds: float
    snapshot_executions: int
    snapshot_bytes: int
    watched_executions: int
    ring_events: int
    ring_bytes: int
    replay_page_events: int
    log_connections: int
    layer_silence_seconds: float
    batch_events: int
    message_bytes: int
    worker_tick_seconds: float
    poll_events_per_second: float
    round_trip_seconds: float


def from_env() -> Limits:
    """Read all limits; raise ImproperlyConfigured naming the first wrong one."""
    return Limits(
        # Below the 60 s after which common proxies drop a silent connection.
        heartbeat_seconds=env.number("ATTUNE_HEARTBEAT_SECONDS", default=15, low=0.05, high=3600),
        retry_milliseconds=env.integer(
            "ATTUNE_RETRY_MILLISECONDS", default=2000, low=100, high=600_000
        ),
        # Taken over by `migrate`: the trigger keeps a copy of its own.
        result_max_bytes=env.integer(
            "ATTUNE_RESULT_MAX_BYTES", default=64 * KIB, low=0, high=8 * MIB
        ),
        database_connections=env.integer(
            "ATTUNE_DATABASE_CONNECTIONS", default=8, low=1, high=1000
        ),
        query_seconds=env.number("ATTUNE_QUERY_SECONDS", default=10, low=0.05, high=300),
        max_lifetime_seconds=env.number(
            "ATTUNE_MAX_LIFETIME_SECONDS", default=12 * 3600, low=1, high=30 * 86_400
        ),
        slow_client_seconds=env.number("ATTUNE_SLOW_CLIENT_SECONDS", default=10, low=0.1, high=300),
        unsent_bytes=env.integer(
            "ATTUNE_UNSENT_BYTES", default=256 * MIB, low=MIB, high=64 * 1024 * MIB
        ),
        access_check_seconds=env.number("ATTUNE_ACCESS_CHECK_SECONDS", default=2, low=0.05, high=4),
        # Below the 10 s after which `docker stop` kills.
        shutdown_seconds=env.number("ATTUNE_SHUTDOWN_SECONDS", default=5, low=0, high=60),
        # 0: no limit.
        streams_per_user=env.integer("ATTUNE_STREAMS_PER_USER", default=2000, low=0, high=10**6),
        streams_per_address=env.integer(
            "ATTUNE_STREAMS_PER_ADDRESS", default=5000, low=0, high=10**6
        ),
        stream_lease_seconds=env.number("ATTUNE_STREAM_LEASE_SECONDS", default=15, low=1, high=300),
        body_bytes=env.integer("ATTUNE_BODY_BYTES", default=5 * MIB // 2, low=KIB, high=1024 * MIB),
        header_bytes=env.integer("ATTUNE_HEADER_BYTES", default=32 * KIB, low=KIB, high=MIB),
        url_bytes=env.integer("ATTUNE_URL_BYTES", default=16 * KIB, low=KIB, high=MIB),
        request_seconds=env.number("ATTUNE_REQUEST_SECONDS", default=20, low=0.1, high=3600),
        login_failures=env.integer("ATTUNE_LOGIN_FAILURES", default=10, low=1, high=10**6),
        login_failures_per_address=env.integer(
            "ATTUNE_LOGIN_FAILURES_PER_ADDRESS", default=100, low=1, high=10**6
        ),
        login_window_seconds=env.number(
            "ATTUNE_LOGIN_WINDOW_SECONDS", default=300, low=1, high=86_400
        ),
        snapshot_executions=env.integer(
            "ATTUNE_SNAPSHOT_EXECUTIONS", default=1000, low=1, high=100_000
        ),
        snapshot_bytes=env.integer(
            "ATTUNE_SNAPSHOT_BYTES", default=MIB, low=64 * KIB, high=256 * MIB
        ),
        watched_executions=env.integer(
            "ATTUNE_WATCHED_EXECUTIONS", default=10_000, low=1, high=1_000_000
        ),
        ring_events=env.integer("ATTUNE_RING_EVENTS", default=10_000, low=1, high=10_000_000),
        ring_bytes=env.integer(
            "ATTUNE_RING_BYTES", default=32 * MIB, low=64 * KIB, high=64 * 1024 * MIB
        ),
        replay_page_events=env.integer(
            "ATTUNE_REPLAY_PAGE_EVENTS", default=500, low=1, high=10_000
        ),
        log_connections=env.integer("ATTUNE_LOG_CONNECTIONS", default=4, low=1, high=100),
        layer_silence_seconds=env.number(
            "ATTUNE_LAYER_SILENCE_SECONDS", default=2, low=0.05, high=60
        ),
        batch_events=env.integer("ATTUNE_BATCH_EVENTS", default=1000, low=1, high=100_000),
        # Far below the 8 MiB at which Redis cuts a slow pub/sub subscriber off.
        message_bytes=env.integer("ATTUNE_MESSAGE_BYTES", default=256 * KIB, low=KIB, high=4 * MIB),
        # 0 turns the tick off: then only a NOTIFY makes the worker look.
        worker_tick_seconds=env.number("ATTUNE_WORKER_TICK_SECONDS", default=1, low=0, high=60),
        # Half of where NOTIFY makes writers wait for each other.
        poll_events_per_second=env.number(
            "ATTUNE_POLL_EVENTS_PER_SECOND", default=200, low=1, high=1_000_000
        ),
        round_trip_seconds=env.number("ATTUNE_ROUND_TRIP_SECONDS", default=5, low=0.1, high=300),
    )
