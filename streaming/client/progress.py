"""How far a client has got, over all of its connections. Pure."""

from __future__ import annotations

from .messages import Close, Connected, End, Event, Message, Reset, Snapshot, decode
from .parser import Frame

# With which a client begins, and which no reset answers.
FIRST_CURSORS = (None, "earliest", "now")


class Progress:
    """Decides what of the frames is news, and from where to go on when the connection is lost.

    `cursor` is what to send as Last-Event-ID: None for a client that has nothing yet. While a
    snapshot is due it stands still, because the server sends none to a client that resumes.
    """

    def __init__(self, cursor: str | None, *, snapshot: bool) -> None:
        self.cursor = cursor
        self.over = False
        self._wants_snapshot = snapshot
        self._snapshot_due = False

    def take(self, frame: Frame) -> Message | Close | None:
        """Return what the frame tells; None where that is nothing, or nothing new."""
        if frame.data is None:
            self._move(frame)
            return None
        message = decode(frame)
        if isinstance(message, Event) and self._is_known(message.id):
            return None
        if isinstance(message, Connected):
            self._snapshot_due = self._wants_snapshot and not message.resumed
            if not message.resumed and self.cursor not in FIRST_CURSORS:
                # A reset follows. Cut off before it, the next connection has to get it.
                return message
        elif isinstance(message, Reset):
            self._snapshot_due = self._wants_snapshot
            if self._snapshot_due:
                self.cursor = None
        elif isinstance(message, Snapshot):
            self._snapshot_due = False
        elif isinstance(message, End):
            self.over = True
        self._move(frame)
        return message

    def _move(self, frame: Frame) -> None:
        if frame.id and not self._snapshot_due:
            self.cursor = frame.id

    def _is_known(self, id: str) -> bool:
        """Say whether an event is one of those up to the cursor, sent again."""
        epoch, _, seq = id.rpartition("-")
        at_epoch, _, at_seq = (self.cursor or "").rpartition("-")
        return epoch == at_epoch and seq.isdigit() and at_seq.isdigit() and int(seq) <= int(at_seq)
