"""Count opens, clicks and unsubscribing by message: what was counted before is taken out first.

Who a hit was by may be judged anew at any time, and the first open of a message can turn out to be
a machine's. So what is in the counts of a message is remembered (`CountedHits`), and counting it
twice, late or in another order ends in the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sending.models import Event, Message
from stats.models import CountedHits, Dimension, Tally
from stats.rollups.deltas import Accepted, Deltas, dimensions_of
from tracking.hits import CLICKED, OPENED
from tracking.models import Visit

UNSUBSCRIBED = "unsubscribed"
KINDS = (OPENED, CLICKED, UNSUBSCRIBED)
HOUR_SECONDS = 3600
# What `dimensions_of` takes, and where a message has it.
KNOWN_BY = {
    "version_id": "template_version_id",
    "stream": "stream",
    "sender_address": "sender_address",
    "recipient_domain": "recipient_domain",
    "batch_id": "batch_id",
    "variant": "variant",
    "tags": "tags",
}


class Hits(NamedTuple):
    """Hits of a message that are counted alike, in the hour that begins so many seconds after 1970.

    `kind` "unsubscribed" says only that it was.
    """

    kind: str
    is_human: bool = True
    client: str = ""
    device: str = ""
    country: str = ""
    link_id: int | None = None
    hour_seconds: int = 0
    number: int = 1


def dimensions_of_hits(one: Hits) -> tuple[tuple[str, str], ...]:
    """Return each dimension of hits with the value of this one."""
    found = [
        (Dimension.CLIENT.value, one.client),
        (Dimension.DEVICE.value, one.device),
        (Dimension.COUNTRY.value, one.country),
    ]
    if one.link_id is not None:
        found.append((Dimension.LINK.value, str(one.link_id)))
    return tuple(found)


def recount(deltas: Deltas, message_ids: Collection[UUID]) -> list[CountedHits]:
    """Count the hits of messages as they are known now; return the rows that remember it.

    Only what changes is counted. The rows are not written yet.
    """
    before = {
        one.message_id: _decoded(one.hits)
        for one in CountedHits.objects.filter(message_id__in=message_ids)
    }
    rows = []
    for message_id, accepted, now in known(message_ids):
        counted = before.get(message_id, [])
        if now != counted:
            count(deltas, accepted, counted, sign=-1)
            count(deltas, accepted, now, sign=1)
            rows.append(CountedHits(message_id=message_id, hits=[list(one) for one in now]))
    return rows


def remember(rows: Iterable[CountedHits]) -> None:
    """Write down what is counted."""
    CountedHits.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["message"],
        update_fields=["hits"],
        batch_size=500,
    )


def known(message_ids: Collection[UUID]) -> Iterator[tuple[UUID, Accepted, list[Hits]]]:
    """Return what messages are known by, and their hits; of those that are here."""
    ids = list(message_ids)
    hits = _hits_of(ids)
    rows = Message.objects.filter(id__in=ids).values_list(
        "id", "api_key_id", "accepted_at", *KNOWN_BY.values()
    )
    for one, key, accepted_at, *known_by in rows:
        hour = accepted_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        dimensions = dimensions_of(**dict(zip(KNOWN_BY, known_by, strict=True)))
        yield one, Accepted(key, hour, dimensions), hits.get(one, [])


def remembered(message_ids: Collection[UUID]) -> dict[UUID, list[Hits]]:
    """Return what is in the counts of these messages."""
    rows = CountedHits.objects.filter(message_id__in=list(message_ids))
    return {one.message_id: _decoded(one.hits) for one in rows}


def count(deltas: Deltas, message: Accepted, hits: Collection[Hits], *, sign: int) -> None:
    """Add the hits of a message to the counts; with the sign -1, take them out."""
    if not hits:
        return
    places: dict[tuple[str, str], list[Hits]] = defaultdict(list)
    for one in hits:
        if one.kind == UNSUBSCRIBED:
            continue
        for dimension in dimensions_of_hits(one):
            places[dimension].append(one)
        if one.is_human:
            hour = datetime.fromtimestamp(one.hour_seconds, UTC)
            act = (Tally.Series.ACT.value, message.api_key_id, hour, one.kind)
            deltas.tally(act, sign * one.number)
    places.update({dimension: list(hits) for dimension in message.dimensions})
    for (name, value), its in places.items():
        for measure, number in measures_of(its).items():
            place = (name, message.api_key_id, message.hour, value)
            deltas.add(place, measure, sign * number)


def measures_of(hits: Iterable[Hits]) -> Counter[str]:
    """Return what hits of one message count for; the message itself at most once."""
    found: Counter[str] = Counter()
    for one in hits:
        if one.kind == UNSUBSCRIBED:
            found["unsubscribed"] = 1
            continue
        found[f"any_{one.kind}"] = 1
        verb = "opens" if one.kind == OPENED else "clicks"
        if one.is_human:
            found[one.kind] = 1
            found[verb] += one.number
        else:
            found[f"machine_{verb}"] += one.number
    return found


def _hits_of(ids: list[UUID]) -> dict[UUID, list[Hits]]:
    """Return the hits of messages, those together that count alike, in a fixed order."""
    counted: dict[UUID, Counter[tuple[Any, ...]]] = defaultdict(Counter)
    visits = Visit.objects.filter(message_id__in=ids).values_list(
        "message_id", "kind", "is_human", "client", "device", "country", "link_id", "at"
    )
    for message_id, *known_by, at in visits.iterator(chunk_size=5000):
        seconds = int(at.timestamp()) // HOUR_SECONDS * HOUR_SECONDS
        counted[message_id][*known_by, seconds] += 1
    unsubscribed = Event.objects.filter(message_id__in=ids, kind=UNSUBSCRIBED)
    for message_id in set(unsubscribed.values_list("message_id", flat=True)):
        counted[message_id][tuple(Hits(UNSUBSCRIBED)[:-1])] = 1
    return {
        message_id: sorted((Hits._make((*one, number)) for one, number in counts.items()), key=repr)
        for message_id, counts in counted.items()
    }


def _decoded(hits: list[Any]) -> list[Hits]:
    return [Hits._make(one) for one in hits]
