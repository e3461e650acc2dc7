"""Hold a run while working on it, so that one process at a time does, and another can go on."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from hygiene.errors import HoldLost
from hygiene.models import MAX_TEXT, WORKING, Run

# Longer than the slowest lot can take: its domains whose name servers all say nothing.
HOLD = timedelta(minutes=10)


def take_up(*, now: datetime) -> Run | None:
    """Take hold of a run that nobody works on; None when there is none."""
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    waiting = Run.objects.filter(free, state__in=WORKING)
    for run_id in waiting.order_by("id").values_list("pk", flat=True):
        holder = uuid.uuid4()
        held = waiting.filter(pk=run_id).update(holder=holder, lease_until=now + HOLD)
        if held:
            return Run.objects.get(pk=run_id)
    return None


def change(run: Run, **changes: Any) -> None:
    """Write down how far it is, and hold it on. Raises HoldLost when it is somebody else's."""
    changes["lease_until"] = timezone.now() + HOLD
    mine = Run.objects.filter(pk=run.pk, holder=run.holder, state=run.state)
    if not mine.update(**changes):
        raise HoldLost(f"{run} is worked on elsewhere, or was stopped.")
    for name, value in changes.items():
        setattr(run, name, value)


def move(run: Run, state: Run.State, **changes: Any) -> None:
    """Come to another state, from whose beginning it then goes on."""
    change(run, state=state, cursor="", **changes)


def release(run: Run) -> None:
    """Let go of it, so that another can go on at once."""
    mine = Run.objects.filter(pk=run.pk, holder=run.holder)
    if mine.update(holder=None, lease_until=None):
        run.holder = run.lease_until = None


def fail(run: Run, why: str) -> None:
    """End it, and say why."""
    changes = {"state": Run.State.FAILED, "trouble": why[:MAX_TEXT]}
    Run.objects.filter(pk=run.pk, holder=run.holder).update(**changes)
    run.state, run.trouble = Run.State.FAILED, why[:MAX_TEXT]


def stop(run: Run) -> None:
    """End a run that still checks, whoever works on it; what it found stays."""
    checking = Run.objects.filter(pk=run.pk, state=Run.State.CHECKING)
    checking.update(state=Run.State.FAILED, trouble="It was stopped while it ran.", holder=None)
