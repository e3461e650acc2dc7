"""Remove the addresses that runs have found, when they are of no use any more."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import QuerySet

from hygiene.models import Finding, Line, Run

# So long a run can be undone.
KEPT = timedelta(days=30)
REMOVED_AT_ONCE = 1000


def forget_old(*, now: datetime) -> None:
    """Remove the addresses of runs that can be neither applied nor undone any more. Idempotent.

    Their counts stay. What nobody reads any more cannot either: whoever read the file has ended.
    """
    _give_up_reading(now=now)
    before = now - KEPT
    old = Run.objects.filter(forgotten_at=None, created_at__lt=before)
    old = old.exclude(state__in=[Run.State.APPLYING, Run.State.UNDOING])
    for run in old.exclude(applied_at__gt=before, undone_at=None).order_by("id"):
        _remove(Finding.objects.filter(run=run))
        _remove(Line.objects.filter(run=run))
        report = run.report | {"examples": {}}
        Run.objects.filter(pk=run.pk).update(forgotten_at=now, report=report)


def _give_up_reading(*, now: datetime) -> None:
    told = "The file was never read to its end. Clean it anew; nothing was changed."
    let_go = Run.objects.filter(state=Run.State.LOADING, lease_until__lt=now)
    let_go.update(state=Run.State.FAILED, trouble=told, holder=None, lease_until=None)
    # Also of a run that was given up before these could be removed.
    _remove(Line.objects.filter(run__state=Run.State.FAILED))


def _remove(rows: QuerySet[Finding] | QuerySet[Line]) -> None:
    while ids := list(rows.order_by("id").values_list("pk", flat=True)[:REMOVED_AT_ONCE]):
        rows.filter(pk__in=ids).delete()
