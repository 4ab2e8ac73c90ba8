"""What web and worker processes count and measure, in Prometheus' terms: docs/metrics.md.

No label has more than a handful of values. Nothing here is called once a delivery.
"""

from __future__ import annotations

import resource

from prometheus_client import Counter, Gauge, Histogram

from attune.exposition import MOST, NEWEST, SUM, labelled

CLOSE_REASONS = (
    *("token_expired", "revoked", "slow_consumer", "shutdown", "max_lifetime"),
    *("end", "cut"),  # without a frame `close`: all it waited for has ended; it takes nothing
)
RESET_REASONS = ("ahead_of_log", "epoch_changed", "history_gone", "unknown_cursor")
REFUSALS = ("400", "401", "404", "429", "503")

_LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_SIZES = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 100_000, 1_000_000)

# --- web: streams ---------------------------------------------------------------------------
STREAMS = Gauge("attune_streams", "Streams open.", multiprocess_mode=SUM)
SLOW = Gauge(
    "attune_streams_slow", "Streams whose client takes nothing for too long.", multiprocess_mode=SUM
)
FILE_LIMIT = Gauge(
    "attune_file_limit", "Files a web process may open; a stream is one.", multiprocess_mode=SUM
)
TASKS = Gauge("attune_tasks", "asyncio tasks of this process.", multiprocess_mode=SUM)
EVENTS_OUT = Counter("attune_stream_events", "Events handed to streams.")
BYTES_OUT = Counter("attune_stream_bytes", "Bytes handed to streams, heartbeats included.")
UNSENT = Gauge(
    "attune_unsent_bytes", "Bytes written that clients have not taken.", multiprocess_mode=SUM
)
CLOSES = labelled(
    Counter("attune_stream_closes", "Streams that the server ended.", ["reason"]), CLOSE_REASONS
)
RESETS = labelled(
    Counter("attune_stream_resets", "Resets sent to clients.", ["reason"]), RESET_REASONS
)
REFUSED = labelled(
    Counter("attune_stream_refusals", "Requests that got no stream.", ["status"]), REFUSALS
)
REPLAY = Histogram(
    "attune_replay_events", "Events of the log that a resumed stream was behind.", buckets=_SIZES
)
TO_SOCKET = Histogram(
    "attune_commit_to_socket_seconds",
    "From the change to the write: the oldest event of each round of writes.",
    buckets=_LAG,
)

# --- web: the hub ---------------------------------------------------------------------------
EVENTS_IN = Counter("attune_hub_events", "Events the hub took over, from layer or log.")
EVALUATIONS = Counter("attune_filter_evaluations", "Filters held against an event.")
REPLAYS = Counter("attune_log_reads", "Pages of the log read for streams and after gaps.")
SHARDS = Gauge("attune_hub_shards", "Redis shards that the hub follows.", multiprocess_mode=SUM)
REPAIRS = Counter("attune_hub_repairs", "Times the hub had to read the log after a gap.")
RESUBSCRIBES = Counter("attune_hub_reconnects", "Times the hub lost layer or log, and began anew.")
RING_EVENTS = Gauge("attune_ring_events", "Recent events in memory.", multiprocess_mode=SUM)
RING_BYTES = Gauge("attune_ring_bytes", "Recent events in memory, in bytes.", multiprocess_mode=SUM)
RING_FILL = Gauge(
    "attune_ring_fill_ratio", "Share of the ring's nearer limit in use.", multiprocess_mode=MOST
)
SILENCE = Gauge(
    "attune_worker_silence_seconds", "Since a worker was last heard.", multiprocess_mode=MOST
)

# --- worker ---------------------------------------------------------------------------------
NUMBERED = Counter("attune_worker_events", "Events numbered.")
BATCH_EVENTS = Histogram(
    "attune_worker_batch_events", "Events of a batch that had any.", buckets=_SIZES
)
BATCH_SECONDS = Histogram(
    "attune_worker_batch_seconds", "Time to number a batch that had events.", buckets=_LAG
)
PUBLISHED_BYTES = Counter("attune_worker_published_bytes", "Bytes of events published.")
PUBLISH_FAILURES = Counter("attune_worker_publish_failures", "Messages the layer did not take.")
CONNECTS = Counter("attune_worker_connects", "Connections to PostgreSQL; all but one are anew.")
TO_PUBLISH = Histogram(
    "attune_commit_to_publish_seconds",
    "From the change to the channel layer: the oldest event of each message.",
    buckets=_LAG,
)

# --- the database, as whoever is asked finds it ---------------------------------------------
DATABASE_UP = Gauge(
    "attune_database_up", "1 where the figures could be read.", multiprocess_mode=NEWEST
)
INBOX = Gauge(
    "attune_inbox_events", "Changes not numbered yet, up to 100,000.", multiprocess_mode=NEWEST
)
INBOX_AGE = Gauge(
    "attune_inbox_age_seconds", "Age of the oldest of them.", multiprocess_mode=NEWEST
)
QUEUE = Gauge(
    "attune_notify_queue_ratio", "Share of the NOTIFY queue in use.", multiprocess_mode=NEWEST
)
POSITION = Gauge("attune_log_position", "Number of the last event.", multiprocess_mode=NEWEST)
LOG_EVENTS = Gauge("attune_log_events", "Events the log keeps.", multiprocess_mode=NEWEST)
LOG_BYTES = Gauge(
    "attune_log_bytes", "Size of the log on disk, indexes included.", multiprocess_mode=NEWEST
)
WORKERS = Gauge("attune_workers", "Workers connected to the database.", multiprocess_mode=NEWEST)
CONNECTIONS = Gauge(
    "attune_database_connections", "Connections the server has.", multiprocess_mode=NEWEST
)
CONNECTION_LIMIT = Gauge(
    "attune_database_connection_limit", "Connections it may have.", multiprocess_mode=NEWEST
)
SKEW = Gauge(
    "attune_clock_skew_seconds",
    "How far the database's clock is ahead of ours.",
    multiprocess_mode=NEWEST,
)


def begin_web() -> None:
    """Say what a web process may have."""
    FILE_LIMIT.set(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
