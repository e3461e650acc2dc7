"""Count what is new, within a second: one thread in each worker, one of which counts at a time.

How far the log is counted changes in the transaction that changes the counts, so that each event
counts once whatever ends in between.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from django.db import Error, close_old_connections, connection, transaction

from sending.models import Event
from stats.models import Progress
from stats.rollups import hits
from stats.rollups.changes import count_changes
from stats.rollups.deltas import Deltas
from stats.rollups.horizon import Horizon
from tracking.models import Relabelled

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.5
STOP_SECONDS = 10
# So much in one transaction. What is less waits for the next pause: a lot costs some twenty
# statements however small it is, and mail comes all the time.
EVENTS_AT_ONCE = 20_000
MESSAGES_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Lot:
    """What was counted at once: `size` in ids and messages; `is_full`: more is waiting."""

    size: int = 0
    is_full: bool = False


def roll(horizon: Horizon | None = None) -> int:
    """Count what is new; return how many events were passed. Idempotent; safe to run twice."""
    horizon = horizon or Horizon()
    passed = 0
    while size := count_lot(horizon.look()).size:
        passed += size
    return passed


def count_lot(settled: int) -> Lot:
    """Count what is new up to the id `settled`, as far as it fits into one lot."""
    if not _has_news(settled):
        return Lot()
    with transaction.atomic():
        progress = Progress.objects.select_for_update(skip_locked=True).filter(pk=1).first()
        if progress is None:  # somebody else is at it, or nobody ever was
            return Lot()
        end = min(settled, progress.event_id + EVENTS_AT_ONCE)
        relabelled = list(Relabelled.objects.order_by("pk")[:MESSAGES_AT_ONCE])
        if end <= progress.event_id and not relabelled:
            return Lot()
        passed = max(end - progress.event_id, 0)
        _look_up_each()
        _count(after=progress.event_id, up_to=end, relabelled=relabelled)
        Progress.objects.filter(pk=1).update(event_id=max(end, progress.event_id))
    return Lot(
        size=passed + len(relabelled),
        is_full=passed == EVENTS_AT_ONCE or len(relabelled) == MESSAGES_AT_ONCE,
    )


def _look_up_each() -> None:
    """Have PostgreSQL find the messages of this transaction's few events one by one.

    Reading a million of them in order looks cheaper to it than looking up thousands.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_hashjoin = off")
            cursor.execute("SET LOCAL enable_mergejoin = off")


def _has_news(settled: int) -> bool:
    progress = Progress.objects.filter(pk=1).first()
    if progress is None:
        progress, _ = Progress.objects.get_or_create(pk=1)
    return settled > progress.event_id or Relabelled.objects.exists()


def _count(*, after: int, up_to: int, relabelled: list[Relabelled]) -> None:
    deltas = Deltas()
    count_changes(deltas, after=after, up_to=up_to)
    # First taken from the list, then read: who is judged anew meanwhile is on the list again.
    Relabelled.objects.filter(pk__in=[one.pk for one in relabelled]).delete()
    hit = Event.objects.filter(id__gt=after, id__lte=up_to, kind__in=hits.KINDS)
    ids = set(hit.values_list("message_id", flat=True)) | {one.message_id for one in relabelled}
    some = sorted(ids)
    for start in range(0, len(some), MESSAGES_AT_ONCE):
        hits.remember(hits.recount(deltas, some[start : start + MESSAGES_AT_ONCE]))
    deltas.apply()


class Roller:
    """A thread that counts until it is stopped, whatever goes wrong meanwhile."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._horizon = Horizon()
        self._thread = threading.Thread(target=self._work, name="roller", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the lot that is being counted. Waits for it."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=STOP_SECONDS)

    def _work(self) -> None:
        is_well = True
        while not self._stopping.wait(PAUSE_SECONDS):
            try:
                close_old_connections()
                while count_lot(self._horizon.look()).is_full and not self._stopping.is_set():
                    pass
                is_well = True
            except Error as error:
                if is_well:
                    log.warning("The counts could not be brought up to date; going on: %s", error)
                is_well = False
                connection.close()
            except Exception:  # what happens tomorrow must not wait for somebody to restart this
                log.exception("Counting failed; trying again")
        connection.close()
