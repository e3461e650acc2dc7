"""Answer at once what a page shows together: few statements, however many figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import CharField, QuerySet, Value

from sending.models import TemplateVersion
from stats.models import Day, Dimension
from stats.queries import rollups
from stats.queries.counts import placed
from stats.queries.figures import By, Cut, Point, Share, Step, Totals, total_of

NO_TEMPLATE = "No template"


@dataclass(frozen=True, slots=True)
class Course:
    """How it went, step by step; the sums of that, and of the time that it is compared with."""

    points: list[Point]
    now: Totals
    before: Totals


def course(cut: Cut, *, earlier: Cut, step: Step) -> Course:
    """Return the series of a cut and its sums, with those of one that ends before it begins."""
    parts = (
        rollups.rows_of(earlier, cut)
        if rollups.is_of_whole_days(cut, step=step)
        else rollups.hours_of(earlier, cut)
    )
    rows = [(began_at, totals) for (began_at,), totals in rollups.summed(parts, "began_at")]
    found = [one for one in rows if one[0] >= cut.start]
    return Course(
        points=placed(found, cut=cut, step=step),
        now=total_of(totals for _, totals in found),
        before=total_of(totals for began_at, totals in rows if began_at < cut.start),
    )


@dataclass(frozen=True, slots=True)
class Leaders:
    """Who sent most, by number of messages; and what each key sent of late, by its id."""

    keys: list[tuple[UUID, Totals]]
    templates: list[Share]
    lately: dict[UUID, Totals]


def leaders(cut: Cut, *, lately: Cut, limit: int) -> Leaders:
    """Return the keys and the templates that sent most in a cut, and all keys in another."""
    parts = [
        *named("key", rollups.rows_of(cut)),
        *named("version", rollups.rows_of(cut, by=By.VERSION)),
        *named("lately", rollups.rows_of(lately)),
    ]
    found: dict[str, dict[Any, Totals]] = defaultdict(lambda: defaultdict(Totals))
    for (part, key_id, value), totals in rollups.summed(parts, "part", "api_key", "value"):
        found[part][value if part == "version" else key_id] += totals
    return Leaders(
        keys=_largest(found["key"], limit=limit),
        templates=_of_templates(found["version"], limit=limit),
        lately=dict(found["lately"]),
    )


def named(part: str, parts: Sequence[QuerySet[Any]]) -> list[QuerySet[Any]]:
    """Return rows that say in `part` what they are, so that others can be read with them."""
    return [rows.annotate(part=Value(part, output_field=CharField())) for rows in parts]


def _largest(found: dict[Any, Totals], *, limit: int) -> list[tuple[Any, Totals]]:
    ranked = sorted(found.items(), key=lambda one: (-one[1].accepted, str(one[0])))
    return ranked[:limit]


def _of_templates(found: dict[str, Totals], *, limit: int) -> list[Share]:
    versions = TemplateVersion.objects.filter(pk__in=[one for one in found if one])
    rows = versions.values_list("pk", "template_id", "template__name")
    template_of = {str(pk): (str(template), name) for pk, template, name in rows}
    folded: dict[tuple[str, str], Totals] = defaultdict(Totals)
    for value, totals in found.items():
        folded[template_of.get(value, ("", NO_TEMPLATE))] += totals
    ranked = _largest(folded, limit=limit)
    return [Share(template, name, totals) for (template, name), totals in ranked]


@dataclass(frozen=True, slots=True)
class KeyCourse:
    """What one key sent in some days: the sums, and day by day."""

    totals: Totals
    days: list[Totals]


def key_courses(keys: Sequence[UUID], *, last: date, days: int) -> dict[UUID, KeyCourse]:
    """Return how it went with each of these keys in the days (UTC) up to `last`, that included."""
    first = last - timedelta(days=days - 1)
    begin = datetime(first.year, first.month, first.day, tzinfo=UTC)
    rows = Day.objects.filter(
        dimension=Dimension.ALL, api_key__in=keys, began_at__gte=begin
    ).filter(began_at__lt=begin + timedelta(days=days))
    found = {key: [Totals()] * days for key in keys}
    for (key_id, began_at), totals in rollups.summed([rows], "api_key", "began_at"):
        found[key_id][(began_at - begin).days] = totals
    return {key: KeyCourse(total_of(series), series) for key, series in found.items()}
