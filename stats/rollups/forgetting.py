"""Take out of the counts what is removed itself, while nobody counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from uuid import UUID

from sending.models import Event
from stats.models import MEASURES, CountedHits, Day, Dimension, Hour, Progress, Tally
from stats.rollups import hits
from stats.rollups.changes import LEFT_OUT, changes_of
from stats.rollups.deltas import Deltas

MARKS = (Dimension.VARIANT.value, Dimension.TAG.value)


def forget_messages(message_ids: Collection[UUID]) -> None:
    """Forget what is counted of messages that are being removed.

    Until the caller's transaction ends, nobody counts: the messages and their events are to be
    removed in it. Their counts stay until `forget_keys`.
    """
    _hold()
    CountedHits.objects.filter(message__in=message_ids).delete()


def forget_keys(key_ids: Collection[UUID]) -> None:
    """Remove all counts of keys whose messages were removed, in the caller's transaction."""
    _hold()
    for model in (Hour, Day, Tally):
        model._default_manager.filter(api_key__in=key_ids).delete()


def forget_marks(message_ids: Collection[UUID]) -> None:
    """Take messages out of the counts of their variants and tags.

    The caller's transaction is to erase these marks of the messages, which count everywhere else
    as before. A mark that no other message has is gone from the counts.
    """
    counted = _counted(message_ids, up_to=_hold())
    deltas = Deltas()
    marks = set()
    for message_id, accepted, _ in hits.known(message_ids):
        for dimension, value in accepted.dimensions:
            if dimension in MARKS:
                place = (dimension, accepted.api_key_id, accepted.hour, value)
                marks.add(value)
                for measure, number in counted.get(message_id, {}).items():
                    deltas.add(place, measure, -number)
    deltas.apply()
    nothing = dict.fromkeys(MEASURES, 0)
    for model in (Hour, Day):
        rows = model._default_manager.filter(dimension__in=MARKS, value__in=marks)
        rows.filter(**nothing).delete()


def _counted(message_ids: Collection[UUID], *, up_to: int) -> Mapping[UUID, Counter[str]]:
    """Return what each message is in the counts for, of the events up to this one."""
    counted: dict[UUID, Counter[str]] = defaultdict(Counter)
    events = Event.objects.filter(message_id__in=message_ids, id__lte=up_to)
    moves = events.exclude(kind__in=LEFT_OUT).values_list(
        "message_id", "status_before", "status_after"
    )
    for message_id, before, after in moves:
        for measure, change in changes_of(before, after):
            counted[message_id][measure] += change
    for message_id, found in hits.remembered(message_ids).items():
        counted[message_id].update(hits.measures_of(found))
    return counted


def _hold() -> int:
    """Keep the rollers from counting until the end of the transaction; return how far they are."""
    progress = Progress.objects.select_for_update().filter(pk=1).first()
    return progress.event_id if progress else 0
