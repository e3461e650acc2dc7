"""Say what a run found and did: for people, for programs, as rows."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Any

from hygiene.models import Finding, Kind, Run, kinds_of
from hygiene.summary import effect_of, outcomes_of
from sending.commands.suppressions import FORMULA

READ_AT_ONCE = 1000
SHOWN = 20
RATES = (("bounce_rate", "bounce rate"), ("open_rate", "open rate"))
HEADER = ("address", "findings", "detail", "suggestion", "outcome", "note")


def as_json(run: Run) -> dict[str, Any]:
    """Return everything but the single findings."""
    kinds = kinds_of(run.kinds)
    report = run.report
    return {
        "run": run.pk,
        "state": run.state,
        "source": run.source,
        "source_name": run.source_name,
        "trouble": run.trouble,
        "created_at": run.created_at.isoformat(),
        "checked": report.get("checked", run.done),
        "already_suppressed": report.get("already_suppressed", run.standing),
        "with_findings": report.get("with_findings", 0),
        "unanswered_domains": report.get("unanswered_domains", 0),
        "findings": [
            {
                "kind": kind.value,
                "label": str(kind.label),
                "number": report.get("numbers", {}).get(kind.value, 0),
                "is_applied": kind in kinds,
                "examples": report.get("examples", {}).get(kind.value, []),
            }
            for kind in Kind
        ],
        "effect": effect_of(run, kinds),
        "outcomes": outcomes_of(run),
    }


def rows(run: Run) -> Iterator[Sequence[str]]:
    """Yield the findings as rows with a header, read some at a time."""
    yield HEADER
    last = 0
    while found := list(run.findings.filter(id__gt=last).order_by("id")[:READ_AT_ONCE]):
        for one in found:
            kinds = " ".join(kind.value for kind in one.words)
            yield one.address, kinds, one.detail, one.suggestion, one.outcome, one.told
        last = found[-1].pk


def csv_lines(run: Run) -> Iterator[str]:
    """Yield the rows as lines of CSV; no cell is taken for a formula by a spreadsheet."""
    writer: Any = csv.writer(_Echo())
    for row in rows(run):
        yield writer.writerow([f"'{cell}" if cell.startswith(FORMULA) else cell for cell in row])


class _Echo:
    """A file that hands back what is written to it."""

    def write(self, text: str) -> str:
        return text


def text_lines(run: Run) -> Iterator[str]:
    """Yield the report for a person."""
    told = as_json(run)
    name = f" {run.source_name}" if run.source_name else ""
    yield f"{run}: {run.get_source_display().lower()}{name}. {run.get_state_display()}."
    if run.trouble:
        yield f"Beware: {run.trouble}"
    if run.checked_at is None:
        yield f"So far {run.done:,} of {run.total:,} addresses."
        return
    yield (
        f"{told['checked']:,} addresses looked at; {told['already_suppressed']:,} get no mail "
        f"already; {told['with_findings']:,} have findings:"
    )
    for finding in told["findings"]:
        yield from _finding_lines(finding)
    if told["unanswered_domains"]:
        yield f"{told['unanswered_domains']:,} domains gave no answer, which counts for nothing."
    yield from _effect_lines(told["effect"])
    yield from _outcome_lines(run, told["outcomes"])


def _finding_lines(finding: dict[str, Any]) -> Iterator[str]:
    mark = "*" if finding["is_applied"] else " "
    yield f" {mark} {finding['kind']:<14} {finding['number']:>9,}  {finding['label']}"
    for one in finding["examples"]:
        meant = f"  -> {one['suggestion']}?" if one["suggestion"] else ""
        detail = f"  ({one['detail']})" if one["detail"] else ""
        yield f"      {one['address']}{meant}{detail}"


def _effect_lines(effect: dict[str, Any]) -> Iterator[str]:
    past, without = effect["past"], effect["without"]
    yield (
        f"* is what is suppressed when this is applied: {effect['addresses']:,} addresses. Without "
        f"them, the last {effect['period_days']} days would have been:"
    )
    for name, label in RATES:
        yield f"   {label:<12} {percent(past[name]):>8}  ->  {percent(without[name])}"
    yield f"   {'mails sent':<12} {past['sent']:>8,}  ->  {without['sent']:,}"


def percent(share: float | None) -> str:
    """Return a share as people read it."""
    return "none" if share is None else f"{share * 100:.2f} %"


def _outcome_lines(run: Run, outcomes: dict[str, int]) -> Iterator[str]:
    for word, number in outcomes.items():
        yield f"{Finding.Outcome(word).label}: {number:,}"
    kept = run.findings.filter(outcome=Finding.Outcome.KEPT).order_by("id")
    for one in kept[:SHOWN]:
        yield f"   {one.address}: {one.told}"
    if run.state == Run.State.CHECKED:
        yield (
            "Nothing was changed. Suppress what is marked: "
            f"manage.py clean_list --run {run.pk} --apply"
        )
    elif run.state == Run.State.APPLIED:
        yield f"Take it back within 30 days: manage.py clean_list --undo {run.pk}"
