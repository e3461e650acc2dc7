"""Lay out the values by which mail is told apart: all of a kind in a table, and one by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.utils import timezone

from sending.models import SenderDomain
from stats import queries, words
from stats.admin.pages import figures_of, key_rows
from stats.admin.spans import CHOICES, Span
from stats.models import SEPARATOR
from stats.queries import By

MOST_VALUES = 100
TITLES = {
    By.PROVIDER: "Recipient providers",
    By.SENDER_DOMAIN: "Sender domains",
    By.VARIANT: "Variants",
    By.TAG: "Tags",
    By.BATCH: "Batches",
}
KINDS = {
    By.PROVIDER: "Provider",
    By.SENDER_DOMAIN: "Sender domain",
    By.VARIANT: "Variant",
    By.TAG: "Tag",
    By.BATCH: "Batch",
}


def of_span(span: Span) -> dict[str, Any]:
    """Return the context of the choice of the time."""
    return {
        "span": span,
        "span_choices": CHOICES.items(),
        "zone": words.days_of(span.cut.zone, at=span.cut.start),
    }


def values_context(by: By, *, span: Span, place: str) -> dict[str, Any]:
    """Return the values of a dimension with most mail; each leads to its own figures."""
    found = queries.breakdown(span.cut, by=by, limit=MOST_VALUES)
    rows = [
        (
            one.label,
            f"{place}&{urlencode({'of': one.value})}" if one.value else "",
            one.totals,
        )
        for one in found.rows
    ]
    return {"rows": rows, "found": found, "by": by, "kind": KINDS[by], **of_span(span)}


def batches_context(span: Span, *, names: Mapping[UUID, str], place: str) -> dict[str, Any]:
    """Return the newest batches, each with whose it is; each leads to how it stands."""
    rows = [
        (
            f"{timezone.localtime(one.accepted_at):%Y-%m-%d %H:%M:%S}, "
            f"{names.get(one.api_key_id, one.api_key_id)}",
            f"{place}?{urlencode({'of': one.id})}",
            one.totals,
        )
        for one in queries.newest_batches(span.cut, limit=MOST_VALUES)
    ]
    return {"rows": rows, "by": By.BATCH, "kind": KINDS[By.BATCH], **of_span(span)}


def value_context(by: By, value: str, *, span: Span, names: Mapping[UUID, str]) -> dict[str, Any]:
    """Return the figures of one value of a dimension, and what it is made of."""
    course = queries.course(span.cut, earlier=span.earlier, step=span.step)
    parts = queries.parts(span.cut)
    found = list(parts.by_value.items())[:MOST_VALUES]
    if by == By.VARIANT:  # of these versions of templates
        versions = [(one.partition(SEPARATOR)[2], totals) for one, totals in found]
        labels = queries.labels_of([one for one, _ in versions], by=By.VERSION)
        found = [(labels.get(one, one), totals) for one, totals in versions]
    is_domain = by == By.SENDER_DOMAIN
    return {
        "by": by,
        "kept": [("of", value)],
        "key_rows": key_rows(parts.by_key, names=names, span=span),
        "part_rows": [(part, "", totals) for part, totals in found],
        "sender_domain": SenderDomain.objects.filter(domain=value).first() if is_domain else None,
        **figures_of(course, span=span),
    }
