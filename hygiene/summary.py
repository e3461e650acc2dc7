"""Sum up what a run found, and what the rates of the past would have been without it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db.models import Count, Sum

from hygiene.engagement import Spans, figures_of
from hygiene.models import Finding, Kind, Run
from sending.models import Message, first_id_since
from stats.queries import Rate

EXAMPLES = 5
FIGURES = ("sent", "delivered", "bounced", "opened")


def report_on(run: Run, *, now: datetime) -> dict[str, Any]:
    """Return what is kept of a finished check: counts and examples by kind, past figures."""
    spans = Spans(now=now, period_days=run.period_days, never_engaged_days=run.never_engaged_days)
    past = Message.objects.filter(id__gte=first_id_since(spans.period_start))
    numbers = run.findings.numbers()
    return {
        "checked": run.done,
        "already_suppressed": run.standing,
        "with_findings": run.findings.count(),
        "numbers": {kind.value: number for kind, number in numbers.items()},
        "examples": {kind.value: _examples(run, kind) for kind in Kind if numbers[kind]},
        "past": past.aggregate(**figures_of(spans.period_start)),
    }


def _examples(run: Run, kind: Kind) -> list[dict[str, str]]:
    first = run.findings.with_any([kind]).order_by("id")[:EXAMPLES]
    return [
        {"address": one.address[:320], "detail": one.detail, "suggestion": one.suggestion}
        for one in first
    ]


def effect_of(run: Run, kinds: Collection[Kind]) -> dict[str, Any]:
    """Return how many addresses have one of the kinds, and the past rates with and without them.

    The rates are shares from 0 to 1, None when there was nothing; of messages accepted in the
    run's period, as the statistics define them.
    """
    chosen = run.findings.with_any(kinds)
    past = {name: run.report.get("past", {}).get(name, 0) for name in FIGURES}
    sums = chosen.aggregate(addresses=Count("pk"), **{f"sum_{name}": Sum(name) for name in FIGURES})
    theirs = {name: sums[f"sum_{name}"] or 0 for name in FIGURES}
    # Mail that left between the look at an address and the sum over all must not count below zero.
    rest = {name: max(0, past[name] - theirs[name]) for name in FIGURES}
    return {
        "addresses": sums["addresses"],
        "period_days": run.period_days,
        "past": past | _rates(past),
        "without": rest | _rates(rest),
    }


def _rates(figures: dict[str, int]) -> dict[str, float | None]:
    return {
        "bounce_rate": Rate(figures["bounced"], figures["sent"]).share,
        "open_rate": Rate(figures["opened"], figures["delivered"]).share,
    }


def outcomes_of(run: Run) -> dict[str, int]:
    """Return how many addresses came to which end, by the word of the outcome."""
    counted = run.findings.exclude(outcome="").order_by().values_list("outcome")
    found = dict(counted.annotate(number=Count("pk")))
    return {one.value: found[one.value] for one in Finding.Outcome if one.value in found}
