"""Lay out how one batch stands: how far it is, what became of it, when it ends."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sending.models import Message, Status, in_batch
from sending.pseudonyms import AT_DOMAIN
from stats import queries
from stats.admin.charts import OUTCOMES
from stats.models import SEPARATOR
from stats.queries import FailureGroup
from stats.queries.batches import Reason
from stats.rollups.changes import alike
from stats.words import duration, number, percent

SHOWN_GROUPS = 20
SHOWN_LINKS = 20
LARGE = ("template_version__html", "template_version__text")
RATES = (
    ("delivery", "Delivered"),
    ("open", "Human opens"),
    ("click", "Human clicks"),
    ("bounce", "Bounced"),
    ("complaint", "Complaints"),
    ("unsubscribe", "Unsubscribed"),
)


def first_of(batch_id: UUID) -> Message | None:
    """Return the first message of a batch, which tells what all of it has in common.

    Of who was forgotten no marks are left: such a message only where there is no other.
    """
    found = Message.objects.filter(in_batch(batch_id))
    found = found.select_related("api_key", "template_version__template")
    found = found.defer("attribs", *LARGE).order_by("id")
    return found.exclude(recipient__endswith=AT_DOMAIN).first() or found.first()


def batch_context(message: Message, *, now: datetime) -> dict[str, Any]:
    """Return the figures of the batch that a message was accepted in, which must be in one."""
    batch_id = cast("UUID", message.batch_id)
    batch = queries.batch(batch_id, now=now)
    totals = batch.totals
    groups = _groups(queries.batch_reasons(batch_id))
    return {
        "title": f"Batch of {number(totals.accepted)}",
        "original": message,
        "batch": batch,
        "bands": [
            (title, color, count(totals), percent(count(totals) / totals.accepted))
            for title, color, count in OUTCOMES
            if count(totals) > 0
        ],
        "done": percent(batch.settled / totals.accepted) if totals.accepted else "",
        "left": duration(batch.seconds_left) if batch.seconds_left is not None else "",
        "took": _took(batch),
        "rates": RATES,
        "links": queries.batch_links(batch_id, limit=SHOWN_LINKS),
        "failures": [one for one in groups if one.kind != Status.DEFERRED][:SHOWN_GROUPS],
        "delays": [one for one in groups if one.kind == Status.DEFERRED][:SHOWN_GROUPS],
    }


def _took(batch: queries.Batch) -> str:
    if batch.first_at is None or batch.last_at is None:
        return ""
    return duration((batch.last_at - batch.first_at).total_seconds())


def _groups(reasons: list[Reason]) -> list[FailureGroup]:
    """Put reasons that differ in particulars only together, the most frequent first."""
    together: dict[str, list[Reason]] = defaultdict(list)
    for one in reasons:
        together[alike(one.status, one.text)].append(one)
    groups = []
    for value, found in together.items():
        kind, code, enhanced, text = value.split(SEPARATOR, 3)
        times = sum(one.number for one in found)
        first_at, last_at = min(one.first_at for one in found), max(one.last_at for one in found)
        groups.append(FailureGroup(kind, code, enhanced, text, times, first_at, last_at))
    return sorted(groups, key=lambda one: -one.number)
