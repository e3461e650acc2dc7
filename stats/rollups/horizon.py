"""Know up to which id the log is complete.

Ids are given out before they are committed, so that on PostgreSQL a lower one may appear after a
higher one was read. Whoever can still bring one holds a lock on the table since before it was
given out. When all who held one as we looked have ended, everything up to the newest id of then is
there. SQLite has one writer at a time.
"""

from __future__ import annotations

import time

from django.db import connection

from sending.models import Event

LOOK_SECONDS = 0.02
WAIT_SECONDS = 0.3
WRITERS = """
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND relation = 'sending_event'::regclass
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND granted AND mode NOT IN ('AccessShareLock', 'RowShareLock', 'ShareUpdateExclusiveLock')
    AND pid IS DISTINCT FROM pg_backend_pid()
"""


class Horizon:
    """Ask now and then; a writer that takes long holds up only what came after it."""

    def __init__(self) -> None:
        self._reached = 0
        self._asked = 0
        self._writers: set[str] = set()

    def look(self) -> int:
        """Return the id up to which no event can appear any more; waits a moment for writers."""
        if self._writers:
            self._settle()
        if not self._writers:
            self._asked = newest_event_id()
            self._writers = _writers()
            self._settle()
        return self._reached

    def _settle(self) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while self._writers and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
            self._writers &= _writers()
        if not self._writers:
            self._reached = self._asked


def newest_event_id() -> int:
    """Return the highest id that can be seen."""
    newest = Event.objects.order_by("-id").values_list("id", flat=True).first()
    return newest or 0


def _writers() -> set[str]:
    if connection.vendor != "postgresql":
        return set()
    with connection.cursor() as cursor:
        cursor.execute(WRITERS)
        return {row[0] for row in cursor.fetchall()}
