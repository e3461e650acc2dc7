"""Check a list, suppress what is wrong with it, take that back: a lot at a time.

Each lot is one transaction together with how far the run is, so that whoever goes on after a crash
neither leaves out an address nor does one twice. No look-up is made within a transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from hygiene import runs
from hygiene.domains import Domains
from hygiene.errors import CannotClean
from hygiene.examination import examine
from hygiene.models import WORKING, Finding, Kind, Line, Run, kinds_of
from hygiene.sources import next_lot, total_of
from hygiene.summary import report_on
from sending import suppressions
from sending.models import Suppression
from sending.suppressions import NewOrder

LOT = 500
WRITTEN = ("outcome", "order_id", "told")
Outcome = Finding.Outcome
INVALID = Suppression.Reason.INVALID
# Then it is more likely that the name server lies than that the list is so bad.
MUCH, MANY = 0.25, 100
SILENCE = (
    "The name servers did not answer, so most domains were not looked up. Nothing follows from "
    "that for their addresses; check again when the DNS works."
)


def clean(
    run: Run,
    *,
    domains: Domains | None = None,
    watch: Callable[[Run], None] = lambda run: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Go on with a held run until it rests, then let go of it.

    `watch` is called after each lot; when `should_stop` says so, another may go on later. Raises
    HoldLost when it is somebody else's.
    """
    try:
        if run.state == Run.State.CHECKING and run.looks_up_domains:
            domains = domains or Domains()
        while run.state in WORKING and not should_stop():
            _do_lot(run, domains=domains)
            watch(run)
    except CannotClean as error:
        runs.fail(run, str(error))
    finally:
        runs.release(run)


def _do_lot(run: Run, *, domains: Domains | None) -> None:
    now = timezone.now()
    if run.state == Run.State.CHECKING:
        _check(run, domains=domains if run.looks_up_domains else None, now=now)
    elif run.state == Run.State.APPLYING:
        _apply(run, now=now)
    else:
        _undo(run, now=now)


def _check(run: Run, *, domains: Domains | None, now: datetime) -> None:
    if not run.total:
        runs.change(run, total=total_of(run))
    lot = next_lot(run, size=LOT)
    if not lot.texts:
        _finish_check(run, domains=domains, now=now)
        return
    examined = examine(lot.texts, run=run, domains=domains, now=now)
    with transaction.atomic():
        runs.change(
            run,
            cursor=lot.cursor,
            done=run.done + len(lot.texts),
            standing=run.standing + examined.standing,
        )
        # A file may name an address again and again.
        Finding.objects.bulk_create(examined.findings, ignore_conflicts=True)
        if run.source == Run.Source.FILE:
            Line.objects.filter(run=run, id__lte=int(lot.cursor)).delete()


def _finish_check(run: Run, *, domains: Domains | None, now: datetime) -> None:
    unanswered = domains.unanswered if domains else 0
    report = report_on(run, now=now) | {"unanswered_domains": unanswered}
    doubt = _doubt(report)
    trouble = doubt or (SILENCE if domains and domains.has_given_up else "")
    changes = {"report": report, "checked_at": now, "trouble": trouble}
    if run.applies_at_once and not doubt:
        number = run.findings.with_any(kinds_of(run.kinds)).count()
        runs.move(run, Run.State.APPLYING, applied_by=run.by, done=0, total=number, **changes)
    else:
        runs.move(run, Run.State.CHECKED, **changes)


def _doubt(report: dict[str, Any]) -> str:
    """Return why nobody should apply this without a second thought; empty when all is well."""
    missing = report["numbers"][Kind.NO_DOMAIN.value]
    if missing < MANY or missing <= MUCH * report["checked"]:
        return ""
    return (
        f"The domains of {missing} addresses are said not to exist, which is very many. Make sure "
        "that the name server tells the truth before this is applied."
    )


def giver_of(run: Run) -> str:
    """Return who gives the orders of a run; nobody else gives one in this name."""
    ending = f" (cleaning {run.pk})"
    return run.applied_by[: suppressions.MAX_BY - len(ending)] + ending


def _apply(run: Run, *, now: datetime) -> None:
    chosen = run.findings.with_any(kinds_of(run.kinds)).still_named()
    findings = list(chosen.filter(id__gt=int(run.cursor or 0)).order_by("id")[:LOT])
    if not findings:
        runs.move(run, Run.State.APPLIED, applied_at=now)
        return
    with transaction.atomic():
        runs.change(run, cursor=str(findings[-1].pk), done=run.done + len(findings))
        _suppress(findings, run=run, now=now)
        Finding.objects.bulk_update(findings, WRITTEN)


def _suppress(findings: list[Finding], *, run: Run, now: datetime) -> None:
    """Give the orders, except where one stands that says the same: that one stays as it is."""
    fit = {finding.address: finding for finding in findings if _can_be_named(finding.address)}
    orders = Suppression.objects.filter(address__in=list(fit), reason=INVALID)
    standing = set(
        orders.select_for_update()
        .exclude(expires_at__lte=now)
        .order_by("id")
        .values_list("address", flat=True)
    )
    by = giver_of(run)
    wanted = [
        NewOrder(address=address, reason=INVALID, note=_note(run, finding), by=by)
        for address, finding in fit.items()
        if address not in standing
    ]
    suppressions.suppress_many(wanted, now=now)
    given = dict(orders.filter(by=by, created_at=now).values_list("address", "pk"))
    for finding in findings:
        finding.order_id = given.get(finding.address)
        if finding.order_id is not None:
            finding.outcome = Outcome.SUPPRESSED
        else:
            finding.outcome = Outcome.STOOD if finding.address in fit else Outcome.UNFIT


def _note(run: Run, finding: Finding) -> str:
    chosen = set(kinds_of(run.kinds))
    words = ", ".join(kind.value for kind in finding.words if kind in chosen)
    return f"Cleaning {run.pk}: {words}."


def _can_be_named(text: str) -> bool:
    """Tell whether an order about this text is about nothing else.

    What cannot be read as an address may read as a rule about a whole domain.
    """
    is_plain = suppressions.kind_of(text) == Suppression.Kind.ADDRESS
    return is_plain and bool(text) and len(text) <= suppressions.MAX_RULE and text.isprintable()


def _undo(run: Run, *, now: datetime) -> None:
    given = run.findings.filter(outcome=Outcome.SUPPRESSED, id__gt=int(run.cursor or 0))
    findings = list(given.order_by("id")[:LOT])
    if not findings:
        runs.move(run, Run.State.UNDONE, undone_at=now)
        return
    with transaction.atomic():
        runs.change(run, cursor=str(findings[-1].pk), done=run.done + len(findings))
        _take_back(findings, run=run, now=now)
        Finding.objects.bulk_update(findings, WRITTEN)


def _take_back(findings: list[Finding], *, run: Run, now: datetime) -> None:
    """Lift the orders that are as this run gave them; tell why another is left."""
    ids = [one.order_id for one in findings if one.order_id]
    wanted = Suppression.objects.filter(pk__in=ids)
    orders = {order.pk: order for order in wanted.select_for_update().order_by("id")}
    untouched = []
    for finding in findings:
        finding.told = _why_kept(orders.get(finding.order_id or 0), finding, run=run)
        finding.outcome = Outcome.KEPT if finding.told else Outcome.UNDONE
        if not finding.told and finding.order_id:
            untouched.append(finding.order_id)
    suppressions.lift_many(
        Suppression.objects.filter(pk__in=untouched),
        now=now,
        by=run.undone_by,
        note=f"Cleaning {run.pk} was undone.",
    )


def _why_kept(order: Suppression | None, finding: Finding, *, run: Run) -> str:
    if order is None:
        return "The suppression was lifted since."
    if order.is_repeated:
        return "The suppression was given again since, by somebody else or for another cause."
    as_given = (finding.address, INVALID, _note(run, finding), giver_of(run), None)
    if (order.address, order.reason, order.note, order.by, order.expires_at) != as_given:
        return "The suppression was changed since."
    return ""
