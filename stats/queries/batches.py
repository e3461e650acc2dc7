"""Look at one batch while it is sent: what was accepted in one call; and list the newest.

The counts follow a second later, and do not tell what is on the wire or how fast it goes. A batch
has ten thousand messages at most, which are counted here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Count, Max, Min, Q

from sending.models import Message, Status, in_batch, made_at
from stats.models import MEASURE_OF_STATUS, MEASURES
from stats.queries import rollups
from stats.queries.figures import By, Cut, Totals, total_of
from stats.queries.now import TROUBLE
from tracking.hits import CLICKED
from tracking.models import Visit

HOUR = timedelta(hours=1)
LATELY = timedelta(minutes=1)
MOST_REASONS = 300


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch at a moment. `per_minute`: handed over of late, or in all once none waits.

    `first_at` and `last_at`: when the first and the newest of it were handed over.
    """

    totals: Totals
    sending: int
    deferred: int
    first_at: datetime | None
    last_at: datetime | None
    per_minute: int

    @property
    def settled(self) -> int:
        """Return how many are done, for whatever end."""
        return self.totals.accepted - self.totals.waiting

    @property
    def seconds_left(self) -> float | None:
        """Return when all has left if it goes on like this; None while nothing moves."""
        left = self.totals.waiting - self.deferred
        return left * 60 / self.per_minute if left > 0 and self.per_minute else None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why messages of a batch failed or wait: in the words of the server, and how many."""

    status: str
    text: str
    number: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class ListedBatch:
    """A batch in a list: whose it is, and what became of it."""

    id: UUID
    api_key_id: UUID
    accepted_at: datetime
    totals: Totals


@dataclass(frozen=True, slots=True)
class BatchLink:
    """A link in the mail of a batch: from how many messages, and how often, it was followed."""

    link_id: int
    url: str
    position: int
    clickers: int
    clicks: int
    machine_clicks: int


def newest_batches(cut: Cut, *, limit: int) -> list[ListedBatch]:
    """Return the newest batches of a cut that are counted, as of the last second or so."""
    [rows] = rollups.rows_of(cut, by=By.BATCH)
    newest = rows.order_by("-began_at", "-value").values_list("value", "api_key", *MEASURES)
    return [
        ListedBatch(
            id=UUID(value),
            api_key_id=key_id,
            accepted_at=made_at(UUID(value)),
            totals=Totals(**dict(zip(MEASURES, counts, strict=True))),
        )
        for value, key_id, *counts in newest[:limit]
    ]


def batch(batch_id: UUID, *, now: datetime) -> Batch:
    """Return how a batch stands; who unsubscribed, as of the last second or so."""
    rows = Message.objects.filter(in_batch(batch_id)).order_by().values("status")
    found = list(
        rows.annotate(
            number=Count("pk"),
            opened=Count("opened_at"),
            any_opened=Count("any_opened_at"),
            clicked=Count("clicked_at"),
            any_clicked=Count("any_clicked_at"),
            handed=Count("handed_off_at"),
            lately=Count("pk", filter=Q(handed_off_at__gte=now - LATELY)),
            first=Min("handed_off_at"),
            last=Max("handed_off_at"),
        )
    )
    counts: Counter[str] = Counter()
    for row in found:
        counts[MEASURE_OF_STATUS[Status(row["status"])]] += row["number"]
        for name in ("opened", "any_opened", "clicked", "any_clicked"):
            counts[name] += row[name]
    counts["unsubscribed"] = _unsubscribed(batch_id)
    numbers = {row["status"]: row["number"] for row in found}
    begun = [row["first"] for row in found if row["first"]]
    ended = [row["last"] for row in found if row["last"]]
    first, last = min(begun, default=None), max(ended, default=None)
    handed = sum(row["lately"] if counts["waiting"] else row["handed"] for row in found)
    return Batch(
        totals=Totals(**counts),
        sending=numbers.get(Status.SENDING, 0),
        deferred=numbers.get(Status.DEFERRED, 0),
        first_at=first,
        last_at=last,
        per_minute=_per_minute(
            handed,
            first=first,
            last=now if counts["waiting"] else last,
            is_over=not counts["waiting"],
        ),
    )


def _unsubscribed(batch_id: UUID) -> int:
    """Read from the counts how many of a batch were unsubscribed from: messages do not tell."""
    at = made_at(batch_id)
    # All of a batch is accepted in one call; the counts are by hours.
    cut = Cut(start=at - HOUR, end=at + HOUR, by=By.BATCH, value=str(batch_id))
    return total_of(one for _, one in rollups.sums(cut)).unsubscribed


def batch_links(batch_id: UUID, *, limit: int) -> list[BatchLink]:
    """Return the links that were followed in a batch, those that most people followed first."""
    people = Q(is_human=True)
    of_batch = Message.objects.filter(in_batch(batch_id)).order_by().values("pk")
    visits = Visit.objects.filter(message__in=of_batch, kind=CLICKED, link__isnull=False)
    counted = visits.order_by().values_list("link_id", "link__url", "link__position")
    rows = counted.annotate(
        clickers=Count("message_id", filter=people, distinct=True),
        clicks=Count("pk", filter=people),
        machine_clicks=Count("pk", filter=~people),
    )
    return [BatchLink(*row) for row in rows.order_by("-clickers", "-clicks", "link_id")[:limit]]


def _per_minute(
    handed: int, *, first: datetime | None, last: datetime | None, is_over: bool
) -> int:
    if first is None or last is None:
        return 0
    passed = last - first if is_over else min(last - first, LATELY)
    return round(handed * 60 / max(passed.total_seconds(), 1.0))


def batch_reasons(batch_id: UUID) -> list[Reason]:
    """Return why messages of a batch failed or are deferred, the most frequent first."""
    troubled = Q(status__in=(*TROUBLE, Status.DEFERRED))
    rows = Message.objects.filter(in_batch(batch_id), troubled).order_by()
    counted = rows.values_list("status", "reason").annotate(
        number=Count("pk"), first=Min("status_at"), last=Max("status_at")
    )
    return [Reason(*row) for row in counted.order_by("-number")[:MOST_REASONS]]
