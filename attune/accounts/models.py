from __future__ import annotations

from django.db import models


class StreamTicket(models.Model):
    """A ticket that has been given out and not been used."""

    digest = models.CharField(primary_key=True, max_length=64)  # SHA-256, in hexadecimal
    credential = models.JSONField()  # by which it was asked for
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "stream_ticket"
