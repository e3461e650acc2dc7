"""Count opens, clicks and unsubscribing by message: what was counted before is taken out first.

Who a hit was by may be judged anew at any time, and the first open of a message can turn out to be
a machine's. So what is in the counts of a message is remembered (`CountedHits`), and counting it
twice, late or in another order ends in the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
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
# Of the time in which the messages of a span were accepted; longer, if there were too many spans.
SPAN_MILLISECONDS, MOST_SPANS = 3 * HOUR_SECONDS * 1000, 4_000
MESSAGES_AT_ONCE = 2_000
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
OF_MESSAGE = ("api_key_id", "accepted_at", *KNOWN_BY.values())
OF_VISIT = ("kind", "is_human", "client", "device", "country", "link_id", "at")


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
    keys: dict[UUID, UUID] = {}
    for one, *row in Message.objects.filter(id__in=ids).values_list("id", *OF_MESSAGE):
        yield one, _accepted(keys, *row), hits.get(one, [])


class Span(NamedTuple):
    """Messages of a time, by their ids: from the first on, below the last; who unsubscribed."""

    first: UUID
    last: UUID
    gone: frozenset[UUID]


def spans() -> list[Span]:
    """Return spans with all messages that were opened, clicked in or unsubscribed from."""
    unsubscribed = Event.objects.filter(kind=UNSUBSCRIBED).order_by()
    gone = sorted(set(unsubscribed.values_list("message_id", flat=True)))
    visited = Visit.objects.values_list("message_id", flat=True)
    ends = [visited.order_by("message_id").first(), visited.order_by("-message_id").first()]
    ids = [one.int for one in (*ends, *gone[:1], *gone[-1:]) if one]
    if not ids:
        return []
    step = max(SPAN_MILLISECONDS << 80, (max(ids) - min(ids)) // MOST_SPANS + 1)
    edges = [UUID(int=one) for one in (*range(min(ids), max(ids) + 1, step), max(ids) + 1)]
    places = [bisect_left(gone, edge) for edge in edges]
    return [
        Span(edges[at], edges[at + 1], frozenset(gone[places[at] : places[at + 1]]))
        for at in range(len(edges) - 1)
    ]


def known_in(span: Span) -> Iterator[tuple[UUID, Accepted, list[Hits]]]:
    """Return what messages of a span are known by, and their hits; of those that have any."""
    of_message = (f"message__{name}" for name in OF_MESSAGE)
    visits = (
        Visit.objects.filter(message_id__gte=span.first, message_id__lt=span.last)
        .order_by("message_id")
        .values_list("message_id", *of_message, *OF_VISIT)
    )
    keys: dict[UUID, UUID] = {}
    gone = set(span.gone)
    # Messages come one after the other, so none is asked for by its id.
    for message_id, rows in groupby(visits.iterator(chunk_size=5000), key=itemgetter(0)):
        its = list(rows)
        counted = Counter(_alike(*row[1 + len(OF_MESSAGE) :]) for row in its)
        if message_id in gone:
            gone.remove(message_id)
            counted[_UNSUBSCRIBED] = 1
        yield message_id, _accepted(keys, *its[0][1 : 1 + len(OF_MESSAGE)]), _in_order(counted)
    # Those who unsubscribed without any other trace.
    ids = sorted(gone)
    for start in range(0, len(ids), MESSAGES_AT_ONCE):
        yield from known(ids[start : start + MESSAGES_AT_ONCE])


def _accepted(keys: dict[UUID, UUID], key: UUID, at: datetime, *known_by: Any) -> Accepted:
    """Return what the counts know a message by; `keys`: each key once, which compares faster."""
    hour = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    dimensions = dimensions_of(**dict(zip(KNOWN_BY, known_by, strict=True)))
    return Accepted(keys.setdefault(key, key), hour, dimensions)


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
    whole = measures_of(hits)
    found = [(dimension, whole) for dimension in message.dimensions]
    found += [
        (dimension, whole if len(its) == len(hits) else measures_of(its))
        for dimension, its in places.items()
    ]
    for (name, value), measures in found:
        deltas.add_all((name, message.api_key_id, message.hour, value), measures, sign=sign)


def measures_of(hits: Iterable[Hits]) -> dict[str, int]:
    """Return what hits of one message count for; the message itself at most once."""
    found: dict[str, int] = {}
    for one in hits:
        if one.kind == UNSUBSCRIBED:
            found["unsubscribed"] = 1
            continue
        found[f"any_{one.kind}"] = 1
        verb = "opens" if one.kind == OPENED else "clicks"
        if one.is_human:
            found[one.kind] = 1
        else:
            verb = f"machine_{verb}"
        found[verb] = found.get(verb, 0) + one.number
    return found


def _hits_of(ids: list[UUID]) -> dict[UUID, list[Hits]]:
    """Return the hits of messages, those together that count alike, in a fixed order."""
    counted: dict[UUID, Counter[tuple[Any, ...]]] = defaultdict(Counter)
    visits = Visit.objects.filter(message_id__in=ids).values_list("message_id", *OF_VISIT)
    for message_id, *row in visits.iterator(chunk_size=5000):
        counted[message_id][_alike(*row)] += 1
    unsubscribed = Event.objects.filter(message_id__in=ids, kind=UNSUBSCRIBED)
    for message_id in set(unsubscribed.values_list("message_id", flat=True)):
        counted[message_id][_UNSUBSCRIBED] = 1
    return {message_id: _in_order(counts) for message_id, counts in counted.items()}


def _alike(*row: Any) -> tuple[Any, ...]:
    """Return what is the same for hits that count alike, of a row of `OF_VISIT`."""
    *known_by, at = row
    return (*known_by, int(at.timestamp()) // HOUR_SECONDS * HOUR_SECONDS)


_UNSUBSCRIBED = tuple(Hits(UNSUBSCRIBED)[:-1])


def _in_order(counted: Counter[tuple[Any, ...]]) -> list[Hits]:
    found = [Hits._make((*one, number)) for one, number in counted.items()]
    return sorted(found, key=repr) if len(found) > 1 else found


def _decoded(hits: list[Any]) -> list[Hits]:
    return [Hits._make(one) for one in hits]
