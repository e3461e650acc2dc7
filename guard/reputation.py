"""Count what a key's mail does to the reputation of all: hard bounces and complaints.

Read from the messages, by indexes: only keys with enough trouble have all their mail counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Count, F, Max

from apikeys.models import ApiKey
from sending.models import Message, Status, first_id_since
from stats.models import MEASURE_OF_STATUS, Dimension, Hour

TROUBLE = (Status.BOUNCED, Status.COMPLAINED)
NEVER_LEFT = (
    Status.QUEUED,
    Status.DEFERRED,
    Status.SENDING,
    Status.SUPPRESSED,
    Status.CANCELED,
    Status.EXPIRED,
)


@dataclass(frozen=True, slots=True)
class Standing:
    """What became of the mail of a key that was accepted since a moment and has been tried."""

    key: ApiKey
    tried: int
    bounced: int
    complained: int


def standings(*, since: datetime, at_least: int) -> list[Standing]:
    """Return the standing of each unpaused key with trouble and `at_least` messages tried.

    What a key sent before a person resumed it is left out.
    """
    troubled = _by_key(Message.objects.filter(status__in=TROUBLE), since=since)
    found = []
    for key in ApiKey.objects.filter(pk__in=troubled, paused_reason="", revoked_at=None):
        begin = max(since, key.resumed_at) if key.resumed_at else since
        statuses = _statuses(key, since=begin)
        tried = statuses.total() - sum(statuses[one] for one in NEVER_LEFT)
        if tried >= at_least:
            found.append(
                Standing(key, tried, statuses[Status.BOUNCED], statuses[Status.COMPLAINED])
            )
    return found


def busy_keys(*, since: datetime, at_least: int) -> dict[UUID, int]:
    """Return the keys with so many messages accepted since then, each with their number."""
    counted = _by_key(Message.objects.all(), since=since)
    return {key_id: number for key_id, number in counted.items() if number >= at_least}


def busiest_hour(key: ApiKey, *, since: datetime, until: datetime) -> int | None:
    """Return how many messages of a key were accepted in its busiest whole hour of a time.

    None when it sent nothing then.
    """
    hours = Hour.objects.filter(
        dimension=Dimension.ALL,
        api_key=key,
        began_at__gte=since,
        began_at__lte=until - timedelta(hours=1),
    )
    accepted = sum(F(name) for name in dict.fromkeys(MEASURE_OF_STATUS.values()))
    most: int | None = hours.aggregate(most=Max(accepted))["most"]
    return most or None


def has_sent(key: ApiKey, *, until: datetime) -> bool:
    """Tell whether a key sent anything before a moment."""
    return Message.objects.filter(api_key=key, id__lt=first_id_since(until)).exists()


def _by_key(messages: object, *, since: datetime) -> dict[UUID, int]:
    rows = messages.filter(id__gte=first_id_since(since))  # type: ignore[attr-defined]
    return dict(rows.order_by().values_list("api_key_id").annotate(number=Count("id")))


def _statuses(key: ApiKey, *, since: datetime) -> Counter[str]:
    rows = Message.objects.filter(api_key=key, id__gte=first_id_since(since))
    return Counter(dict(rows.order_by().values_list("status").annotate(number=Count("id"))))
