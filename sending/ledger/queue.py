"""Take messages from the queue, hold them, mark their hand-off, write down what became of them."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from types import ModuleType
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from sending.ledger import portable, postgres
from sending.ledger.facts import Outcome, require_edge
from sending.models import Message, Priority, Status
from sending.models.message import SUSPECT_LAPSES, WAITING

AFTER_HANDOFF_GRACE = timedelta(seconds=30)

Held = Sequence[tuple[UUID, int]]


def _engine() -> ModuleType:
    return postgres if connection.vendor == "postgresql" else portable


def lease() -> timedelta:
    """Return how long a claim holds unless it is extended."""
    return timedelta(seconds=settings.LEASE_SECONDS)


def new_claim() -> int:
    """Return a number that no other claim has: 63 random bits."""
    return secrets.randbits(63)


def claim(
    *,
    limit: int,
    claim: int | None = None,
    passing_over: dict[Priority, set[UUID]] | None = None,
    suspects: bool = False,
) -> list[Message]:
    """Take hold of up to `limit` due messages for `LEASE_SECONDS` and return them.

    No message is ever returned to two callers. `claim`, else a new number, is in each message;
    with the id it proves the hold. Those accepted one by one come before those of batches, then
    the oldest first. `passing_over`: keys whose messages of a priority are left alone.
    `suspects`: take those, and only those, that were held by several workers as they ended.
    """
    number = new_claim() if claim is None else claim
    claimed: list[Message] = _engine().claim_due(
        limit=limit,
        claim=number,
        lease=lease(),
        passing_over=passing_over or {},
        suspects=suspects,
    )
    return claimed


def has_suspects() -> bool:
    """Tell whether a due message was held by several workers as they ended."""
    return Message.objects.filter(
        status__in=WAITING, lapse_count__gte=SUSPECT_LAPSES, next_attempt_at__lte=Now()
    ).exists()


def begin_handoff(
    held: Held, *, patience: timedelta, must_last: bool = False
) -> set[tuple[UUID, int]]:
    """Mark that the bodies of these (id, claim) go out now; return those that may.

    One that is missing from the answer belongs to somebody else by now. The lease is extended
    to the `patience` of the transport, so that nobody else acts before the answer can be there.
    `must_last`: the marks outlive even a power cut; it costs a write to the disk.
    """
    if not held:
        return set()
    return set(
        _engine().begin_handoff(held, lease=patience + AFTER_HANDOFF_GRACE, must_last=must_last)
    )


def extend_leases(held: Held) -> None:
    """Keep hold of messages that wait for a free connection; ended leases stay ended."""
    if held:
        portable.extend_leases(held, lease=lease())


def record(outcomes: Sequence[Outcome]) -> None:
    """Write what became of claimed messages; saying it again, after an error, changes nothing more.

    An outcome whose claim has ended changes no status, except that it settles a message that is
    held as unknown, and that an acceptance is the truth whoever holds the message by now: it
    moves what waits or is claimed anew to sent, so that no second copy goes out. The attempt is
    written down in any case.
    """
    for outcome in outcomes:
        require_edge(Status.SENDING, outcome.status)
    rounds = _one_for_each_message(outcomes)
    if len(rounds) == 1:
        _engine().record(rounds[0])
    elif rounds:
        with transaction.atomic():
            for one_round in rounds:
                _engine().record(one_round)


def _one_for_each_message(outcomes: Sequence[Outcome]) -> list[Sequence[Outcome]]:
    """Split outcomes so that no message is twice in one part; its acceptance comes first."""
    if len({outcome.message_id for outcome in outcomes}) == len(outcomes):
        return [outcomes] if outcomes else []
    rounds: list[list[Outcome]] = []
    seen: Counter[UUID] = Counter()
    for outcome in sorted(outcomes, key=lambda one: one.status != Status.SENT):
        number = seen[outcome.message_id]
        seen[outcome.message_id] += 1
        rounds += [[]] if number == len(rounds) else []
        rounds[number].append(outcome)
    return list(rounds)
