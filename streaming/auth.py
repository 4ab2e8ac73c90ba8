"""Who has a stream, and until when they may have it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from rest_framework.exceptions import AuthenticationFailed

from attune.accounts.credentials import Credential
from executions.visibility import Rights
from streaming.admission import Admission

MAX_JITTER_SECONDS = 30.0
CHALLENGE = 'Bearer realm="api"'


@dataclass(frozen=True, slots=True)
class Viewer:
    """An authenticated user, for as long as the credential lasts."""

    credential: Credential
    rights: Rights
    checked_at: float  # time.monotonic() before the rights were looked up

    @property
    def expires_at(self) -> datetime | None:
        return self.credential.expires_at

    def seconds_left(self, *, jitter: float) -> float:
        """Return how long a stream may last: a little less (`jitter`, 0 to 1) than the credential.

        So that a thousand streams of one sign-in do not all come back in the same moment.
        """
        if self.expires_at is None:
            return float("inf")
        left = max(0.0, self.expires_at.timestamp() - time.time())
        return left - jitter * min(left * 0.02, MAX_JITTER_SECONDS)


def viewer(admission: Admission) -> Viewer:
    """Return who asks; raises AuthenticationFailed where the credential is not good (any more)."""
    credential = admission.credential
    if credential is None or (
        # The cookie of a ticket outlives the access token that the ticket was for.
        credential.expires_at is not None and credential.expires_at <= timezone.now()
    ):
        raise AuthenticationFailed("Unknown, used, expired or withdrawn.")
    return Viewer(credential, admission.rights, admission.checked_at)
