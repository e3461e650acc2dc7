"""Count everything anew, beside a live system: to replace the counts, or to compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from sending.models import Event
from stats.models import CountedHits, Day, Hour, Progress, Tally
from stats.rollups import hits
from stats.rollups.changes import count_changes
from stats.rollups.deltas import Deltas, columns_of
from stats.rollups.horizon import Horizon
from tracking.models import Relabelled, Visit

EVENTS_AT_ONCE = 200_000
MESSAGES_AT_ONCE = 2_000

# Told how much is done, of how much.
Watch = Callable[[int, int], None]


class Difference(NamedTuple):
    """A row that says something else than the log; the counts by name where they differ."""

    table: str
    place: tuple[Any, ...]
    stored: dict[str, int]
    recounted: dict[str, int]


def rebuild(*, watch: Watch) -> int:
    """Replace all counts by what the log says, in one transaction; return how many events it had.

    Until it commits, everybody sees the counts of before, and the rollers wait. On SQLite, which
    has one writer, all others wait as well.
    """
    horizon = Horizon()
    Progress.objects.get_or_create(pk=1)
    with transaction.atomic():
        Progress.objects.select_for_update().get(pk=1)
        while not (end := horizon.look()) and Event.objects.exists():
            pass
        for model in (Hour, Day, Tally, CountedHits):
            model._default_manager.all().delete()
        Relabelled.objects.all().delete()
        deltas = Deltas()
        _count_all(deltas, end=end, watch=watch)
        deltas.insert()
        Progress.objects.filter(pk=1).update(event_id=end)
    return end


def _count_all(deltas: Deltas, *, end: int, watch: Watch) -> None:
    count_all_changes(deltas, end=end, watch=watch)
    for ids in _hit_messages():
        hits.remember(hits.recount(deltas, ids))


def count_all_changes(deltas: Deltas, *, end: int, watch: Watch) -> None:
    """Count all events up to `end` that tell no hits."""
    for after in range(0, end, EVENTS_AT_ONCE):
        watch(after, end)
        count_changes(deltas, after=after, up_to=min(after + EVENTS_AT_ONCE, end))
    watch(end, end)


def check(*, watch: Watch) -> list[Difference]:
    """Return all rows that differ from what the log says, as of one moment; changes nothing."""
    with transaction.atomic():
        if connection.vendor == "postgresql" and not connection.savepoint_ids:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        progress = Progress.objects.filter(pk=1).first()
        end = progress.event_id if progress else 0
        deltas = Deltas()
        count_all_changes(deltas, end=end, watch=watch)
        # What is not counted yet is not counted here: only what is remembered of it.
        waiting = set(Relabelled.objects.values_list("message_id", flat=True))
        fresh = Event.objects.filter(id__gt=end, kind__in=hits.KINDS)
        waiting |= set(fresh.values_list("message_id", flat=True))
        for ids in _hit_messages():
            counted = hits.remembered([one for one in ids if one in waiting])
            for message_id, accepted, found in hits.known(ids):
                known = counted.get(message_id, []) if message_id in waiting else found
                hits.count(deltas, accepted, known, sign=1)
        return list(_differences(deltas))


def _differences(deltas: Deltas) -> Iterator[Difference]:
    for model, rows in deltas.tables():
        names = columns_of(model)
        wanted = {row[:4]: row[4:] for row in rows}
        stored = model._default_manager.values_list(*names)
        for row in stored.iterator(chunk_size=5000):
            found, expected = row[4:], wanted.pop(row[:4], (0,) * len(row[4:]))
            if found != expected:
                yield _difference(model.__name__, row[:4], names[4:], found, expected)
        for place, expected in wanted.items():
            yield _difference(model.__name__, place, names[4:], (0,) * len(expected), expected)


def _difference(
    table: str,
    place: tuple[Any, ...],
    names: tuple[str, ...],
    stored: tuple[int, ...],
    recounted: tuple[int, ...],
) -> Difference:
    both = [one for one in zip(names, stored, recounted, strict=True) if one[1] != one[2]]
    return Difference(
        table,
        place,
        {name: one for name, one, _ in both},
        {name: other for name, _, other in both},
    )


def _hit_messages() -> Iterator[list[UUID]]:
    """Return the ids of all messages with anything that `hits` counts, some at a time."""
    visited = Visit.objects.order_by("message_id").values_list("message_id", flat=True).distinct()
    last = UUID(int=0)
    while lot := list(visited.filter(message_id__gt=last)[:MESSAGES_AT_ONCE]):
        yield lot
        last = lot[-1]
    # Those who unsubscribed without any other trace.
    its_visits = Visit.objects.filter(message=OuterRef("message"))
    gone = Event.objects.filter(~Exists(its_visits), kind=hits.UNSUBSCRIBED)
    ids = sorted(set(gone.values_list("message_id", flat=True)))
    for start in range(0, len(ids), MESSAGES_AT_ONCE):
        yield ids[start : start + MESSAGES_AT_ONCE]
