"""Count everything anew, beside a live system: to replace the counts, or to compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction

from sending import bulk, processes
from sending.models import Event
from stats.models import CountedHits, Day, Hour, Progress, Tally
from stats.rollups import hits
from stats.rollups.changes import count_changes
from stats.rollups.deltas import Deltas, columns_of
from stats.rollups.horizon import Horizon
from tracking.models import Relabelled, Visit

EVENTS_AT_ONCE = 200_000
MESSAGES_AT_ONCE = 5_000
# From here on starting processes costs less than it saves.
MANY_EVENTS = 1_000_000

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

    Other processes may count parts: what they read does not change, but for hits, and of those we
    keep what was counted.

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
    """Count all events up to `end`, in several processes where they are many."""
    visits = Visit.objects.count()
    number = processes.useful() if end >= MANY_EVENTS else 1
    if number == 1:
        _count_parts(deltas, run=map, end=end, visits=visits, watch=watch)
        return
    with connection.cursor() as cursor:
        # Our own transaction waits while the others count, however long that takes.
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    with processes.pool(number) as pool:
        _count_parts(deltas, run=pool.map, end=end, visits=visits, watch=watch)


def _count_parts(
    deltas: Deltas, *, run: Callable[..., Iterable[Any]], end: int, visits: int, watch: Watch
) -> None:
    total = end + visits
    parts = _parts(end)
    for (_, up_to), changes in zip(parts, run(_changes_in, parts), strict=True):
        deltas.merge(changes)
        watch(up_to, total)
    done = 0
    for found, rows in run(_hits_in, hits.spans()):
        deltas.merge(found)
        for start in range(0, len(rows), MESSAGES_AT_ONCE):
            lot = rows[start : start + MESSAGES_AT_ONCE]
            bulk.insert(CountedHits, fields=("message", "hits"), rows=lot)
        done += sum(one.number for _, its in rows for one in its)
        watch(min(end + done, total), total)
    watch(total, total)


def _parts(end: int) -> list[tuple[int, int]]:
    """Return after which event and up to which one each part of the log goes."""
    starts = range(0, end, EVENTS_AT_ONCE)
    return [(after, min(after + EVENTS_AT_ONCE, end)) for after in starts]


def _changes_in(part: tuple[int, int]) -> Deltas:
    deltas = Deltas()
    count_changes(deltas, after=part[0], up_to=part[1])
    return deltas


def _hits_in(span: hits.Span) -> tuple[Deltas, list[tuple[UUID, list[hits.Hits]]]]:
    deltas, rows = Deltas(), []
    for message_id, accepted, found in hits.known_in(span):
        hits.count(deltas, accepted, found, sign=1)
        rows.append((message_id, found))
    return deltas, rows


def check(*, watch: Watch) -> list[Difference]:
    """Return all rows that differ from what the log says, as of one moment; changes nothing."""
    with transaction.atomic():
        if connection.vendor == "postgresql" and not connection.savepoint_ids:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        progress = Progress.objects.filter(pk=1).first()
        end = progress.event_id if progress else 0
        deltas = Deltas()
        for after, up_to in _parts(end):
            watch(after, end)
            count_changes(deltas, after=after, up_to=up_to)
        watch(end, end)
        # What is not counted yet is not counted here: only what is remembered of it.
        waiting = set(Relabelled.objects.values_list("message_id", flat=True))
        fresh = Event.objects.filter(id__gt=end, kind__in=hits.KINDS)
        waiting |= set(fresh.values_list("message_id", flat=True))
        counted: dict[UUID, list[hits.Hits]] = {}
        ids = list(waiting)
        for start in range(0, len(ids), MESSAGES_AT_ONCE):
            counted |= hits.remembered(ids[start : start + MESSAGES_AT_ONCE])
        for span in hits.spans():
            for message_id, accepted, found in hits.known_in(span):
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
