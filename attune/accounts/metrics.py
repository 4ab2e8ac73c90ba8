from __future__ import annotations

from prometheus_client import Counter

from attune import exposition

KINDS = ("credential", "password", "throttled")

FAILURES = exposition.labelled(
    Counter("attune_auth_failures", "Credentials and passwords refused.", ["kind"]), KINDS
)
