"""Count the events of the log that tell no opens and clicks: each once, by what it changed."""

from __future__ import annotations

import re
from datetime import UTC
from typing import Any

from django.db.models import Case, Count, F, Func, IntegerField, Value, When
from django.db.models.functions import TruncHour

from sending.mentions import STRUCK
from sending.models import Event, Status
from stats.models import MEASURE_OF_STATUS, SEPARATOR, WAIT_RATIO, Tally
from stats.rollups.deltas import VALUE_LENGTH, Deltas, dimensions_of
from tracking.hits import CLICKED, OPENED

FAILURES = (
    Status.BOUNCED,
    Status.REJECTED,
    Status.FAILED,
    Status.DEFERRED,
    Status.EXPIRED,
    Status.SUPPRESSED,
)
# These change no count by themselves: whoever is sending or queued still waits.
LEFT_OUT = (Status.SENDING, OPENED, CLICKED)
REPLY = re.compile(
    r"(?:(\d{3})(?![\d.]))?[ -]*(?:(\d\.\d{1,3}\.\d{1,3})(?![\d.]))?[ :-]*(.*)", re.S
)
# Also where its @ is encoded, as in a link; a number of 40 is none.
ADDRESS = re.compile(
    r"""<?(?:\\?"[^\s"]+"|(?<![^\s<>()"'])[^\s<>()"']+)"""
    r"(?:@|&#64;|&commat;|[%=+]40(?=[\w-]*[a-z][\w-]*\.[a-z]{2}))[\w.-]+>?",
    re.IGNORECASE,
)
# Host names, queue numbers, hashes, times: what is different in each answer of the same kind.
PARTICULAR = re.compile(
    r"\b(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9a-f]*:[0-9a-f:]+:[0-9a-f]*|(?=\w*\d)[\w-]{8,}|\d+)\b", re.I
)


class WaitBucket(Func):
    """The bucket of the time between two moments; the earlier one comes first."""

    output_field = IntegerField()
    arity = 2

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """Reckon with intervals."""
        template = (
            "FLOOR(LN(GREATEST(EXTRACT(EPOCH FROM (%(expressions)s)) * 1000, 1))"
            f" / LN({WAIT_RATIO}))::integer"
        )
        # Later minus earlier.
        turned = WaitBucket(*reversed(self.get_source_expressions()))
        return Func.as_sql(turned, compiler, connection, template=template, arg_joiner=" - ")

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """Reckon with the microseconds that Django's function finds."""
        template = (
            "CAST(LN(MAX(django_timestamp_diff(%(expressions)s) / 1000.0, 1))"
            f" / LN({WAIT_RATIO}) AS INTEGER)"
        )
        turned = WaitBucket(*reversed(self.get_source_expressions()))
        return Func.as_sql(turned, compiler, connection, template=template)


def count_changes(deltas: Deltas, *, after: int, up_to: int) -> None:
    """Count the events with ids above `after` and up to `up_to`."""
    events = Event.objects.filter(id__gt=after, id__lte=up_to)
    groups = (
        events.exclude(kind__in=LEFT_OUT)
        .annotate(
            accepted_hour=TruncHour("message__accepted_at", tzinfo=UTC),
            hour=TruncHour("occurred_at", tzinfo=UTC),
            wait=Case(
                When(
                    status_after=Status.SENT,
                    then=WaitBucket(F("message__accepted_at"), F("occurred_at")),
                ),
                default=Value(None),
                output_field=IntegerField(),
            ),
        )
        .values_list(
            "message__api_key_id",
            "message__template_version_id",
            "message__stream",
            "message__sender_address",
            "message__recipient_domain",
            "message__batch_id",
            "message__variant",
            "message__tags",
            "accepted_hour",
            "hour",
            "kind",
            "status_before",
            "status_after",
            "wait",
        )
        .annotate(number=Count("pk"))
        .order_by()
    )
    for row in groups.iterator(chunk_size=5000):
        _count_group(deltas, *row)
    failed = events.filter(kind__in=FAILURES, status_after=F("kind")).annotate(
        hour=TruncHour("occurred_at", tzinfo=UTC)
    )
    for key, hour, kind, detail in failed.values_list(
        "message__api_key_id", "hour", "kind", "detail"
    ).iterator(chunk_size=5000):
        deltas.tally((Tally.Series.FAILURE.value, key, hour, alike(kind, detail)), 1)


def _count_group(
    deltas: Deltas,
    key: Any,
    version_id: Any,
    stream: str,
    sender_address: str,
    recipient_domain: str,
    batch_id: Any,
    variant: str,
    tags: Any,
    accepted_hour: Any,
    hour: Any,
    kind: str,
    before: str,
    after: str,
    wait: int | None,
    number: int,
) -> None:
    """Count events that are alike."""
    changes = changes_of(before, after)
    if changes:
        for dimension, value in dimensions_of(
            version_id=version_id,
            stream=stream,
            sender_address=sender_address,
            recipient_domain=recipient_domain,
            batch_id=batch_id,
            variant=variant,
            tags=tags,
        ):
            for measure, change in changes:
                place = (dimension, key, accepted_hour, value)
                deltas.add(place, measure, change * number)
    deltas.tally((Tally.Series.ACT.value, key, hour, kind), number)
    if wait is not None:
        deltas.tally((Tally.Series.WAIT.value, key, accepted_hour, str(wait)), number)


def changes_of(before: str, after: str) -> list[tuple[str, int]]:
    """Return which counts a change of status changes, and by how much."""
    if not after:
        return []
    left = MEASURE_OF_STATUS[Status(before)] if before else ""
    reached = MEASURE_OF_STATUS[Status(after)]
    changes = [("deferrals", 1)] if after == Status.DEFERRED else []
    if left != reached:
        changes.append((reached, 1))
        if left:
            changes.append((left, -1))
    return changes


def alike(kind: str, detail: str) -> str:
    """Return what a failure is counted under: the same for all that differ in particulars only.

    What was suppressed is counted under the reason of the order, such as ``capped``.
    """
    if kind == Status.SUPPRESSED:
        detail = detail.partition(":")[0]
    found = REPLY.match(detail)
    code, enhanced, text = found.groups(default="") if found else ("", "", detail)
    # An address that was struck out since is counted as before.
    text = ADDRESS.sub("<address>", text.replace(STRUCK, "x@x"))
    text = " ".join(PARTICULAR.sub("#", text).replace(SEPARATOR, " ").split())
    return SEPARATOR.join((kind, code, enhanced, text))[:VALUE_LENGTH]
