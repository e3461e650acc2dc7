"""Begin a run, have it applied, have it undone: what people ask for. `hygiene.cleaning` does it."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID

from hygiene import runs
from hygiene.cleaning import Outcome
from hygiene.errors import CannotClean
from hygiene.forgetting import KEPT
from hygiene.models import MAX_TEXT, SAFE, Kind, Line, Run, bits_of

MAX_BY = 150
WRITTEN_AT_ONCE = 1000
MAX_DAYS = 3650
# After that, who was looked at may have opened a mail, or the domain be back.
APPLY_WITHIN = timedelta(days=7)
# So long it is known what was suppressed.
UNDO_WITHIN = KEPT


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a run shall look for, and what of it is suppressed when it is applied."""

    looks_up_domains: bool = True
    never_engaged_days: int = 180
    period_days: int = 30
    kinds: Collection[Kind] = SAFE
    applies_at_once: bool = False


def begin(
    source: Run.Source,
    *,
    wishes: Wishes,
    by: str,
    now: datetime,
    addresses: Iterable[str] = (),
    source_name: str = "",
    batch_message_id: UUID | None = None,
) -> Run:
    """Begin to check; return the run, which is held by who called until it is let go of.

    `addresses` are those of a file. Raises CannotClean.
    """
    if not 1 <= wishes.never_engaged_days <= MAX_DAYS or not 1 <= wishes.period_days <= MAX_DAYS:
        raise CannotClean(f"A number of days is from 1 to {MAX_DAYS}.")
    is_file = source == Run.Source.FILE
    run = Run.objects.create(
        source=source,
        source_name=source_name[:300],
        batch_message_id=batch_message_id,
        looks_up_domains=wishes.looks_up_domains,
        never_engaged_days=wishes.never_engaged_days,
        period_days=wishes.period_days,
        kinds=bits_of(wishes.kinds),
        applies_at_once=wishes.applies_at_once,
        state=Run.State.LOADING if is_file else Run.State.CHECKING,
        by=by[:MAX_BY],
        created_at=now,
        holder=uuid.uuid4(),
        lease_until=now + runs.HOLD,
    )
    if is_file:
        _load(run, addresses)
    return run


def _load(run: Run, addresses: Iterable[str]) -> None:
    try:
        total = _store_lines(run, addresses)
    except CannotClean:
        run.delete()
        raise
    if not total:
        run.delete()
        raise CannotClean("The file has no address in it.")
    runs.move(run, Run.State.CHECKING)


def _store_lines(run: Run, addresses: Iterable[str]) -> int:
    rest, total = iter(addresses), 0
    while chunk := list(islice(rest, WRITTEN_AT_ONCE)):
        Line.objects.bulk_create([Line(run=run, text=text[:MAX_TEXT]) for text in chunk])
        total += len(chunk)
        runs.change(run, total=total)
    return total


def apply(run_id: int, *, kinds: Collection[Kind], by: str, now: datetime) -> Run:
    """Have what a run found suppressed; return it, held. Raises CannotClean."""
    if not kinds:
        raise CannotClean("Choose at least one kind of finding that is suppressed.")
    run = find(run_id)
    if run.state != Run.State.CHECKED:
        raise CannotClean(f"{run} cannot be applied: {_stands(run)}. Check the list anew.")
    if run.checked_at is None or run.checked_at + APPLY_WITHIN < now:
        raise CannotClean(
            f"{run} was checked more than {APPLY_WITHIN.days} days ago. Check the list anew."
        )
    number = run.findings.with_any(kinds).count()
    wanted = {"kinds": bits_of(kinds), "applied_by": by[:MAX_BY], "total": number}
    return _ask(run, Run.State.APPLYING, now=now, **wanted)


def undo(run_id: int, *, by: str, now: datetime) -> Run:
    """Have what a run suppressed taken back; return it, held. Raises CannotClean."""
    run = find(run_id)
    if run.state != Run.State.APPLIED:
        raise CannotClean(f"{run} cannot be undone: {_stands(run)}.")
    if run.applied_at is None or run.applied_at + UNDO_WITHIN < now:
        raise CannotClean(
            f"{run} was applied more than {UNDO_WITHIN.days} days ago. Lift what it suppressed on "
            "the page of the suppressions."
        )
    number = run.findings.filter(outcome=Outcome.SUPPRESSED).count()
    return _ask(run, Run.State.UNDOING, now=now, undone_by=by[:MAX_BY], total=number)


def _ask(run: Run, state: Run.State, *, now: datetime, **changes: object) -> Run:
    asked = Run.objects.filter(pk=run.pk, state=run.state).update(
        state=state,
        cursor="",
        done=0,
        holder=uuid.uuid4(),
        lease_until=now + runs.HOLD,
        **changes,
    )
    if not asked:
        raise CannotClean(f"Somebody else has just decided about {run}. Look at it again.")
    return find(run.pk)


def find(run_id: int) -> Run:
    """Return the run; raise CannotClean when there is none."""
    run = Run.objects.filter(pk=run_id).first()
    if run is None:
        raise CannotClean(f"There is no cleaning {run_id}.")
    return run


def _stands(run: Run) -> str:
    if run.trouble and run.state == Run.State.FAILED:
        return f"it failed: {run.trouble}"
    return f"it stands at {run.get_state_display().lower()!r}"
