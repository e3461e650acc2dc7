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
    """Take up to what is wanted of each allowance; return how many each gave."""
    given = _take(wanted, allowances, today)
    if given is None:  # the first of the day
        _begin(wanted, today)
        given = _take(wanted, allowances, today)
    return given or {}


def _take(
    wanted: Counter[str], allowances: Mapping[str, int], today: date
) -> dict[str, int] | None:
    """Take from rows that exist; None when one is missing, and nothing is taken then.

    They are locked in the order of their names, so that no two workers wait for each other.
    """
    with transaction.atomic():
        rows = DailyCount.objects.select_for_update().filter(name__in=wanted, date=today)
        counts = list(rows.order_by("name"))
        if len(counts) < len(wanted):
            return None
        given = {}
        for row in counts:
            given[row.name] = max(min(wanted[row.name], allowances[row.name] - row.used), 0)
            row.used += given[row.name]
        DailyCount.objects.bulk_update(counts, ["used"])
    return given


def _begin(names: Collection[str], today: date) -> None:
    # In a transaction of its own: who inserts waits for whoever inserts the same, and must hold
    # no other row meanwhile.
    new = [DailyCount(name=name, date=today) for name in sorted(names)]
    DailyCount.objects.bulk_create(new, ignore_conflicts=True)
    DailyCount.objects.filter(date__lt=today - KEPT).delete()
