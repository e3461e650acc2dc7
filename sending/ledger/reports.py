"""Write down what others tell of messages: late, repeatedly, in any order, with the same end.

A message always exists before anybody can tell of it: its row is committed before it is claimed.
What can come too early is a report that overtakes our own note of the hand-off. It is taken as the
proof that the hand-off succeeded, and the answer of the next hop then changes nothing.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from sending.ledger.erasure import bare
from sending.ledger.facts import MAY_BECOME_SENT, Fact, FirstHits
from sending.ledger.rows import DETAIL_LENGTH, REASON_LENGTH, database_now, storable
from sending.models import Event, Message, Status
from sending.models.event import TRANSITIONS
from sending.pseudonyms import is_pseudonym

KEY_LENGTH = 255
BATCH_SIZE = 500
ARRIVED = (Status.SENT, Status.DELIVERED)
# What a recipient does with a mail.
ACTS = ("opened", "clicked")
# Why a message counts as sent before its worker said so.
OVERTAKEN = "Told by a report that came before the answer of the next hop."

logger = logging.getLogger(__name__)


class _Standing(NamedTuple):
    """Where a message stands while its facts are written down, one after the other."""

    status: str
    was_handed_off: bool
    attempt_count: int
    is_forgotten: bool


def report(facts: Sequence[Fact]) -> list[tuple[Fact, int]]:
    """Write down facts, all or nothing; return those that are new, with the ids of their events.

    A fact whose key is known for its message and kind is ignored, as is one about a message that
    is not here. A fact with a status moves its message if that has the higher rank and the message
    has left, or may have: as long as a hand-off is not settled, the fact settles it. Of somebody
    who was forgotten it is kept what became of the mail, in no words, and nothing of what they do.
    """
    with transaction.atomic():
        standing = _lock({fact.message_id for fact in facts})
        forgotten = {one for one, its in standing.items() if its.is_forgotten}
        kept = [one for one in facts if not (one.kind in ACTS and one.message_id in forgotten)]
        fresh = _fresh(kept, known_ids=standing.keys())
        told = [(fact, _events_of(fact, standing)) for fact in fresh]
        events = [event for _, its in told for event in its]
        Event.objects.bulk_create(events, batch_size=BATCH_SIZE)
        _move(events)
    return [(fact, its[-1].pk) for fact, its in told]


def hold(message_ids: Collection[UUID]) -> None:
    """Keep others from telling of these messages until the end of the transaction.

    Whoever is going to write about several messages, or about a message and the orders for its
    recipient, holds all of them first, so that no two wait for each other.
    """
    list(_held(message_ids).values_list("id"))


def keep_first_hits(firsts: Mapping[UUID, FirstHits]) -> None:
    """Keep on each message when it was opened and clicked first; write only what changes."""
    names = FirstHits.__slots__
    with transaction.atomic():
        found = _held(firsts.keys()).only(*names)
        changed = [
            message.id
            for message in found
            if any(getattr(message, name) != getattr(firsts[message.id], name) for name in names)
        ]
        if changed:
            _write_firsts({one: firsts[one] for one in changed})


def _write_firsts(firsts: Mapping[UUID, FirstHits]) -> None:
    """Write what differs for each message, in one go: a CASE for each column takes far longer."""
    names = (*FirstHits.__slots__, "id")
    fields = {field.name: field for field in Message._meta.concrete_fields}
    changes = ", ".join(f"{name} = %s" for name in names[:-1])
    rows = [
        [
            fields[name].get_db_prep_value(
                one if name == "id" else getattr(first, name), connection
            )
            for name in names
        ]
        for one, first in firsts.items()
    ]
    with connection.cursor() as cursor:
        table = Message._meta.db_table
        cursor.executemany(f"UPDATE {table} SET {changes} WHERE id = %s", rows)  # noqa: S608 - names of our own


def _held(message_ids: Collection[UUID]) -> QuerySet[Message]:
    held = Message.objects.select_for_update(no_key=True)
    return held.filter(id__in=message_ids).order_by("id")


def _lock(message_ids: Collection[UUID]) -> dict[UUID, _Standing]:
    """Hold the messages, and return where they stand."""
    rows = _held(message_ids).values_list(
        "id", "status", "handed_off_at", "attempt_count", "recipient"
    )
    standing = {
        one: _Standing(
            status=status,
            was_handed_off=handed_off_at is not None or status == Status.UNKNOWN,
            attempt_count=attempt_count,
            is_forgotten=is_pseudonym(recipient),
        )
        for one, status, handed_off_at, attempt_count, recipient in rows
    }
    missing = [one for one in message_ids if one not in standing]
    if missing:
        logger.warning(
            "Ignored reports about %d messages that are not here, such as %s.",
            len(missing),
            missing[0],
        )
    return standing


def _fresh(facts: Sequence[Fact], *, known_ids: Collection[UUID]) -> list[Fact]:
    """Return the facts that are not written down yet, each once."""
    keyed = [fact for fact in facts if fact.key and fact.message_id in known_ids]
    seen: set[tuple[UUID, str, str]] = set()
    if keyed:
        seen.update(
            Event.objects.filter(
                message_id__in={fact.message_id for fact in keyed},
                key__in={stored_key(fact.key) for fact in keyed},
            )
            .exclude(key="")
            .values_list("message_id", "kind", "key")
        )
    fresh = []
    for fact in facts:
        name = (fact.message_id, fact.kind, stored_key(fact.key))
        if fact.message_id in known_ids and not (fact.key and name in seen):
            seen.add(name)
            fresh.append(fact)
    return fresh


def stored_key(key: str) -> str:
    """Return a natural key as the log keeps it: one that is too long as its digest."""
    text = storable(key)
    return text if len(text) <= KEY_LENGTH else hashlib.sha256(text.encode()).hexdigest()


def _events_of(fact: Fact, standing: dict[UUID, _Standing]) -> list[Event]:
    """Return the events of a fact, the last one its own; let the message stand where they end."""
    now = standing[fact.message_id]
    before, after = now.status, _after(fact, now)
    events = []
    if after and before in MAY_BECOME_SENT and after != Status.SENT:
        events.append(
            Event(
                message_id=fact.message_id,
                kind=Status.SENT,
                status_before=before,
                status_after=Status.SENT,
                occurred_at=database_now(),
                attempt_number=now.attempt_count or None,
                detail=OVERTAKEN,
            )
        )
        before = Status.SENT
    if after:
        standing[fact.message_id] = now._replace(status=after)
    events.append(
        Event(
            message_id=fact.message_id,
            kind=fact.kind,
            status_before=before if after else "",
            status_after=after,
            occurred_at=fact.occurred_at,
            detail=bare(fact.detail) if now.is_forgotten else storable(fact.detail)[:DETAIL_LENGTH],
            key=stored_key(fact.key),
        )
    )
    return events


def _after(fact: Fact, standing: _Standing) -> str:
    """Return the status that the fact leads to, empty when it changes none."""
    if fact.status is None:
        return ""
    if standing.status in MAY_BECOME_SENT:
        return fact.status if standing.was_handed_off else ""
    return fact.status if fact.status in TRANSITIONS[standing.status] else ""


def _move(events: Iterable[Event]) -> None:
    """Let every message stand where its last event put it, with one statement for all alike."""
    ends: dict[UUID, tuple[str, str]] = {}
    for event in events:
        if event.status_after:
            reason = "" if event.status_after in ARRIVED else event.detail[:REASON_LENGTH]
            ends[event.message_id] = (event.status_after, reason)
    groups: dict[tuple[str, str], list[UUID]] = defaultdict(list)
    for message_id, end in ends.items():
        groups[end].append(message_id)
    for (status, reason), ids in groups.items():
        Message.objects.filter(id__in=ids).update(
            status=status,
            status_at=Now(),
            reason=reason,
            lease_until=None,
            next_attempt_at=None,
            lapse_count=0,
        )
