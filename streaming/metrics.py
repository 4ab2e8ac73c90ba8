"""Counters and gauges of a web process, in Prometheus' terms."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

STREAMS = Gauge("attune_streams", "Streams open on this process.")
TASKS = Gauge("attune_tasks", "asyncio tasks of this process.")
SLOW = Gauge("attune_streams_slow", "Streams whose client takes nothing for too long.")
EVENTS_OUT = Counter("attune_stream_events", "Events handed to streams.")
EVENTS_IN = Counter("attune_hub_events", "Events the hub took over, from layer or log.")
EVALUATIONS = Counter("attune_filter_evaluations", "Filters held against an event.")
REPLAYS = Counter("attune_log_reads", "Pages of the log read for streams and after gaps.")
SHARDS = Gauge("attune_hub_shards", "Redis shards that the hub follows.")
CLOSES = Counter("attune_stream_closes", "Streams that the server ended.", ["reason"])
RESETS = Counter("attune_stream_resets", "Resets sent to clients.", ["reason"])
REPAIRS = Counter("attune_hub_repairs", "Times the hub had to read the log after a gap.")
