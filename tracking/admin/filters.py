"""Ways to narrow down the lists of events and links, none of which reads a whole table."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.admin import SimpleListFilter
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from sending.admin.filters import AcceptedFilter, KeyFilter, TemplateFilter
from sending.ledger.facts import KINDS
from sending.models import Event, SendingProfile, Status
from tracking.visitors import Label

# How many neighbours are asked for the time: what was told late is older than they are.
NEIGHBOURS = 20
# The first of them are at or after the middle between `low` and `high`.
_NEAR = """
    SELECT id, occurred_at FROM sending_event
    WHERE id >= (low + high) / 2 AND id < high ORDER BY id LIMIT %(neighbours)s
"""
_IS_LATE = (
    "(SELECT COALESCE(MAX(occurred_at) >= %(moment)s, 1 = 1) FROM (" + _NEAR + ") AS near)"  # noqa: S608 - no values
)
# Halves what lies between `low` and `high` until nothing does.
SEARCH = f"""
WITH RECURSIVE search (low, high) AS (
    SELECT CAST(0 AS bigint), COALESCE(MAX(id), 0) + 1 FROM sending_event
    UNION ALL
    SELECT
        CASE WHEN {_IS_LATE} THEN low ELSE (SELECT MAX(id) + 1 FROM ({_NEAR}) AS near) END,
        CASE WHEN {_IS_LATE} THEN (low + high) / 2 ELSE high END
    FROM search WHERE low < high
)
SELECT MAX(low) FROM search
"""  # noqa: S608 - no values


class KindFilter(SimpleListFilter):
    """What happened."""

    title = "what happened"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return every word that an event can have."""
        return [(kind, kind) for kind in sorted(KINDS | set(Status.values))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the events of that kind."""
        known = dict(self.lookup_choices)
        return queryset.filter(kind=self.value()) if self.value() in known else queryset


class WhoFilter(SimpleListFilter):
    """Who opened or clicked."""

    title = "who it was"
    parameter_name = "who"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the labels."""
        return [(label.value, label.value) for label in Label]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the opens and clicks with that label."""
        if self.value() not in set(Label):
            return queryset
        return queryset.filter(visit__label=self.value())


class HappenedFilter(AcceptedFilter):
    """When it happened; the ids, which are nearly in that order, bound what is read."""

    title = "time"
    parameter_name = "happened"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the events of the chosen span."""
        value = self.value()
        if value not in self.spans:
            return queryset
        moment = timezone.now() - self.spans[value][1]
        first = first_written_since(moment)
        if value != "before":
            return queryset.filter(id__gte=first, occurred_at__gte=moment)
        later = Event.objects.filter(id__gte=first).order_by("id").values_list("id", flat=True)
        bound = later[NEIGHBOURS : NEIGHBOURS + 1]
        return queryset.filter(occurred_at__lt=moment, **({"id__lt": bound[0]} if bound else {}))


def first_written_since(moment: datetime) -> int:
    """Return an id from which on, but for up to `NEIGHBOURS`, events were written since then.

    A search among the ids, not a scan; all its steps are one statement.
    """
    at = connection.ops.adapt_datetimefield_value(moment)
    with connection.cursor() as cursor:
        cursor.execute(SEARCH, {"moment": at, "neighbours": NEIGHBOURS})
        row = cursor.fetchone()
    return int(row[0])


class LinkTemplateFilter(TemplateFilter):
    """Which template the links are in, in any version."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the links of the chosen template."""
        chosen = [pk for pk, _ in self.lookup_choices if pk == self.value()]
        if not chosen:
            return queryset
        return queryset.filter(template_version__template_id=chosen[0])


class LinkKeyFilter(KeyFilter):
    """Which key the mails were sent by; only their clicks are counted then."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the links of the template that the key sends now, in any version."""
        key = chosen_key(request)
        if key is None:
            return queryset
        templates = SendingProfile.objects.filter(api_key_id=key).values("template_id")
        return queryset.filter(template_version__template_id__in=templates)


def chosen_key(request: HttpRequest) -> UUID | None:
    """Return the key that the list is narrowed down to."""
    try:
        return UUID(request.GET.get(LinkKeyFilter.parameter_name, ""))
    except ValueError:
        return None
