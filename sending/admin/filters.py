"""Narrow the list of messages down along its indexes."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from apikeys.models import ApiKey
from sending.models import Template, TemplateVersion, first_id_since


class AcceptedFilter(SimpleListFilter):
    """When the messages were accepted, read from their ids, which are in that order.

    Days are asked for as in 2026-03-01..2026-03-31, both included.
    """

    title = "time of acceptance"
    parameter_name = "accepted"
    spans = {
        "hour": ("In the last hour", timedelta(hours=1)),
        "day": ("In the last 24 hours", timedelta(days=1)),
        "week": ("In the last 7 days", timedelta(days=7)),
        "month": ("In the last 30 days", timedelta(days=30)),
        "before": ("More than 30 days ago", timedelta(days=30)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the spans to choose from."""
        listed = [(name, title) for name, (title, _) in self.spans.items()]
        days = _days(self.value())
        return [*listed, (self.value() or "", f"{days[0]} to {days[1]}")] if days else listed

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the messages of the chosen span."""
        value = self.value()
        days = _days(value)
        if days:
            begin, after = _midnight(days[0]), _midnight(days[1] + timedelta(days=1))
            return queryset.filter(id__gte=first_id_since(begin), id__lt=first_id_since(after))
        if value not in self.spans:
            return queryset
        first = first_id_since(timezone.now() - self.spans[value][1])
        return (
            queryset.filter(id__lt=first) if value == "before" else queryset.filter(id__gte=first)
        )


def _days(value: str | None) -> tuple[date, date] | None:
    """Return the first and the last day of those asked for; None where they cannot be read."""
    try:
        first, last = map(date.fromisoformat, (value or "").split(".."))
    except ValueError:
        return None
    return (first, last) if date(1970, 1, 2) <= first <= last < date(9999, 1, 1) else None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=timezone.get_current_timezone())


class KeyFilter(SimpleListFilter):
    """Which key the messages came in by."""

    title = "API key"
    parameter_name = "key"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the keys to choose from."""
        keys = ApiKey.objects.order_by("name").values_list("pk", "name")
        return [(str(pk), name) for pk, name in keys]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the messages of the chosen key."""
        chosen = [UUID(pk) for pk, _ in self.lookup_choices if pk == self.value()]
        return queryset.filter(api_key__in=chosen) if chosen else queryset


class TemplateFilter(SimpleListFilter):
    """Which template the messages were made from, in any version."""

    title = "template"
    parameter_name = "template"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the templates to choose from."""
        templates = Template.objects.order_by("name").values_list("pk", "name")
        return [(str(pk), name) for pk, name in templates]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the messages of the chosen template."""
        chosen = [pk for pk, _ in self.lookup_choices if pk == self.value()]
        if not chosen:
            return queryset
        versions = TemplateVersion.objects.filter(template_id=chosen[0])
        return queryset.filter(template_version_id__in=list(versions.values_list("pk", flat=True)))
