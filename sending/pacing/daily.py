"""Count the messages of a day in the database, where neither a crash nor an empty Redis ends it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import date, timedelta

from django.db import transaction

from sending.models import DailyCount

KEPT = timedelta(days=30)


def used(names: Collection[str], *, today: date) -> dict[str, int]:
    """Return how much of each allowance is used."""
    rows = DailyCount.objects.filter(name__in=names, date=today)
    return dict(rows.values_list("name", "used"))


def take(wanted: Counter[str], *, allowances: Mapping[str, int], today: date) -> dict[str, int]:
    """Take up to what is wanted of each allowance; return how many each gave.

    The rows are locked in the order of their names, so that no two workers wait for each other.
    """
    with transaction.atomic():
        rows = _locked(wanted, today=today)
        if len(rows) < len(wanted):
            missing = sorted(wanted.keys() - rows.keys())
            new = [DailyCount(name=name, date=today) for name in missing]
            DailyCount.objects.bulk_create(new, ignore_conflicts=True)
            DailyCount.objects.filter(date__lt=today - KEPT).delete()
            rows = _locked(wanted, today=today)
        given = {}
        for name, row in rows.items():
            given[name] = max(min(wanted[name], allowances[name] - row.used), 0)
            row.used += given[name]
        DailyCount.objects.bulk_update(rows.values(), ["used"])
    return given


def _locked(names: Collection[str], *, today: date) -> dict[str, DailyCount]:
    rows = DailyCount.objects.select_for_update().filter(name__in=names, date=today)
    return {row.name: row for row in rows.order_by("name")}
