"""Let things happen to messages through the writers of the product, for the counts to be about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sending import ledger
from sending.ledger import Outcome
from sending.models import Message, SendingProfile, Status
from stats.models import MEASURES, Day, Hour, Tally
from stats.queries import Cut
from tests.factories.sending import MessageFactory


def accepted(profile: SendingProfile, *, number: int = 1, **fields: object) -> list[Message]:
    """Return messages that were accepted as the product does it, with their first event."""
    rows = [
        MessageFactory.build(
            profile=profile,
            api_key=profile.api_key,
            template_version=profile.template.current_version,
            **fields,
        )
        for _ in range(number)
    ]
    ledger.accept(rows)
    return rows


def handed_off(profile: SendingProfile, *, number: int = 1, **fields: object) -> list[Message]:
    """Return messages that are on the wire."""
    accepted(profile, number=number, **fields)
    return claimed(number=number)


def claimed(*, number: int) -> list[Message]:
    """Return so many of the messages that wait; they are on the wire now."""
    found = ledger.claim(limit=number)
    ledger.begin_handoff(
        [(one.id, one.claim or 0) for one in found], patience=timedelta(minutes=10)
    )
    return found


def answered(
    messages: Sequence[Message], status: Status = Status.SENT, *, reason: str = ""
) -> Sequence[Message]:
    """Record what became of messages on the wire."""
    ledger.record(
        [
            Outcome(
                message_id=one.id,
                claim=one.claim or 0,
                attempt_number=one.attempt_count,
                status=status,
                reason=reason,
                delay=timedelta(minutes=5) if status == Status.DEFERRED else None,
            )
            for one in messages
        ]
    )
    return messages


def today(**fields: object) -> Cut:
    """Return the cut of yesterday and today."""
    now = datetime.now(UTC)
    return Cut(start=now - timedelta(days=1), end=now + timedelta(hours=1), **fields)


def counts() -> dict[tuple[object, ...], tuple[int, ...]]:
    """Return every count that is not zero."""
    found = {}
    for model in (Hour, Day):
        names = ("dimension", "api_key_id", "began_at", "value", *MEASURES)
        for row in model.objects.values_list(*names):
            if any(row[4:]):
                found[model.__name__, *row[:4]] = tuple(row[4:])
    tallies = Tally.objects.exclude(number=0)
    for row in tallies.values_list("series", "api_key_id", "began_at", "value", "number"):
        found["Tally", *row[:4]] = (row[4],)
    return found
