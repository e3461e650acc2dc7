"""Answer questions about any span of time in a few milliseconds, however much was sent in it."""

from __future__ import annotations

import calendar
import csv
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta, timezone
from io import StringIO
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Count, Max, Min, Sum

from apikeys.models import ApiKey
from sending.models import Stream, Template, TemplateVersion, made_at
from stats.models import SEPARATOR, WAIT_RATIO, Tally
from stats.queries import rollups
from stats.queries.figures import (
    Breakdown,
    By,
    Clicker,
    Comparison,
    Cut,
    FailureGroup,
    LinkUse,
    Point,
    Share,
    Step,
    Totals,
    Waits,
    total_of,
)
from tracking.hits import CLICKED
from tracking.models import TrackedLink, Visit


def totals(cut: Cut) -> Totals:
    """Return the counts of a cut."""
    return total_of(one for _, one in rollups.sums(cut))


def comparison(cut: Cut) -> Comparison:
    """Return the counts of a cut, and of the span of the same length before it."""
    return Comparison(now=totals(cut), before=totals(before(cut)))


def before(cut: Cut) -> Cut:
    """Return the same cut of the span of the same length before."""
    return Cut(
        start=cut.start - (cut.end - cut.start),
        end=cut.start,
        keys=cut.keys,
        by=cut.by,
        value=cut.value,
        zone=cut.zone,
    )


def series(cut: Cut, *, step: Step) -> list[Point]:
    """Return the counts step by step in the zone of the cut, those without mail too.

    An hour that lies across midnight, where a zone is half an hour off, is of the day in which it
    begins.
    """
    is_whole = rollups.is_of_whole_days(cut, step=step)
    return placed(rollups.days(cut) if is_whole else rollups.hours(cut), cut=cut, step=step)


def placed(rows: Iterable[tuple[datetime, Totals]], *, cut: Cut, step: Step) -> list[Point]:
    """Put counts of hours or days into the steps of a cut, and return all of these."""
    found: dict[datetime, list[Totals]] = defaultdict(list)
    for began_at, counts in rows:
        found[begin_of(began_at, step=step, zone=cut.zone)].append(counts)
    points = []
    place = begin_of(cut.start, step=step, zone=cut.zone)
    last = begin_of(cut.end - timedelta(hours=1), step=step, zone=cut.zone)
    while place <= last:
        points.append(Point(place, total_of(found.get(place, ()))))
        place = _next(place, step=step, zone=cut.zone)
    return points


def begin_of(moment: datetime, *, step: Step, zone: ZoneInfo) -> datetime:
    """Return when the hour, day, week (from Monday) or month of a moment began there.

    An hour has a fixed offset: in a zone, two that a change of the clock gives the same name would
    be equal.
    """
    if step == Step.HOUR:
        hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        offset = hour.astimezone(zone).utcoffset() or timedelta(0)
        return hour.astimezone(timezone(offset))
    day = moment.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if step == Step.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if step == Step.MONTH else day


def _next(place: datetime, *, step: Step, zone: ZoneInfo) -> datetime:
    """Return the next step: of days by the calendar, which may have 23 or 25 hours."""
    if step == Step.HOUR:
        return begin_of(place + timedelta(hours=1), step=step, zone=zone)
    if step == Step.MONTH:
        return place + timedelta(days=calendar.monthrange(place.year, place.month)[1])
    return place + timedelta(days=7 if step == Step.WEEK else 1)


def breakdown(cut: Cut, *, by: By, limit: int = 10) -> Breakdown:
    """Return the values of `by` with the most messages, and the others together.

    `cut` may name keys, or a value of the same dimension only: the counts know one at a time.
    """
    if by == By.BATCH:
        return _largest_batches(cut, limit=limit)
    found: dict[str, Totals] = defaultdict(Totals)
    for (value,), counts in rollups.sums(cut, "api_key" if by == By.KEY else "value", by=by):
        found[str(value)] += counts
    found = _folded(found, by=by)
    ranked = sorted(found.items(), key=lambda one: (-one[1].accepted, one[0]))
    rest = [counts for _, counts in ranked[limit:]]
    return Breakdown(_shares(ranked[:limit], by=by), total_of(rest), len(rest))


def _largest_batches(cut: Cut, *, limit: int) -> Breakdown:
    """Let the database choose: there may be a batch for each second, and all are in hours."""
    [rows] = rollups.rows_of(cut, by=By.BATCH)
    largest = rollups.largest(rows, "value", limit=limit)
    rest = rows.exclude(value__in=[value for value, _ in largest])
    return Breakdown(
        rows=_shares(largest, by=By.BATCH),
        others=total_of(counts for _, counts in rollups.summed([rest])),
        other_count=rest.aggregate(number=Count("value", distinct=True))["number"],
    )


def _shares(ranked: list[tuple[str, Totals]], *, by: By) -> list[Share]:
    labels = labels_of([value for value, _ in ranked], by=by)
    return [Share(value, labels.get(value, value), counts) for value, counts in ranked]


def _folded(found: dict[str, Totals], *, by: By) -> dict[str, Totals]:
    """Put together what belongs to one template or provider."""
    if by == By.TEMPLATE:
        versions = TemplateVersion.objects.filter(pk__in=[one for one in found if one])
        place = {str(one): str(of) for one, of in versions.values_list("pk", "template_id")}
    elif by == By.PROVIDER:
        place = rollups.provider_of(found)
    elif by == By.VARIANT:
        place = {one: one.partition(SEPARATOR)[0] for one in found}
    else:
        return found
    folded: dict[str, Totals] = defaultdict(Totals)
    for value, counts in found.items():
        folded[place.get(value, value)] += counts
    return folded


def labels_of(values: Iterable[str], *, by: By) -> dict[str, str]:
    """Return how people call these values, where that is something else."""
    known = [one for one in values if one]
    if by == By.KEY:
        keys = ApiKey.objects.filter(pk__in=known).values_list("pk", "name")
        return {str(pk): name for pk, name in keys}
    if by == By.TEMPLATE:
        templates = Template.objects.filter(pk__in=known).values_list("pk", "name")
        return {str(pk): name for pk, name in templates} | {"": "No template"}
    if by == By.VERSION:
        versions = TemplateVersion.objects.filter(pk__in=known).select_related("template")
        return {str(one.pk): str(one) for one in versions} | {"": "No template"}
    if by == By.BATCH:
        return {one: f"{made_at(UUID(one)):%Y-%m-%d %H:%M:%S} UTC" for one in known}
    if by == By.LINK:
        return {str(one.pk): one.url for one in TrackedLink.objects.filter(pk__in=known)}
    return {str(Stream(one)): Stream(one).label for one in known} if by == By.STREAM else {"": "?"}


def acts(cut: Cut, *, step: Step) -> dict[datetime, dict[str, int]]:
    """Return what happened in each step, by kind of event: an open when it was opened.

    Of a cut only keys and times matter. Steps in which nothing happened are left out.
    """
    found: dict[datetime, Counter[str]] = defaultdict(Counter)
    rows = rollups.tallies(cut, Tally.Series.ACT).values_list("began_at", "value")
    for began_at, kind, number in rows.annotate(sum=Sum("number")).order_by():
        found[begin_of(began_at, step=step, zone=cut.zone)][kind] += number
    return {place: dict(counts) for place, counts in sorted(found.items())}


def open_times(cut: Cut, *, kind: str = "opened") -> list[list[int]]:
    """Return how often people opened (or "clicked") on each day of the week, from Monday, by hour.

    Both are those of the viewer's zone.
    """
    table = [[0] * 24 for _ in range(7)]
    rows = rollups.tallies(cut, Tally.Series.ACT).filter(value=kind).values_list("began_at")
    for began_at, number in rows.annotate(sum=Sum("number")).order_by():
        local = began_at.astimezone(cut.zone)
        table[local.weekday()][local.hour] += number
    return table


def links(cut: Cut, *, limit: int = 50) -> list[LinkUse]:
    """Return the links that were followed most, of all mail, of one template or of one version.

    Their messages were accepted in the span of the cut, which may name nothing else but keys.
    """
    found: dict[int, Totals] = defaultdict(Totals)
    for (value,), counts in rollups.sums(cut, "value", by=By.LINK):
        if value:
            found[int(value)] += counts
    known = TrackedLink.objects.filter(pk__in=found)
    if cut.by == By.TEMPLATE:
        known = known.filter(template_version__template=int(cut.value))
    elif cut.by == By.VERSION:
        known = known.filter(template_version=int(cut.value))
    uses = [
        LinkUse(
            link_id=link.pk,
            url=link.url,
            version_id=link.template_version_id,
            position=link.position,
            clicks=found[link.pk].clicks,
            clickers=found[link.pk].clicked,
            machine_clicks=found[link.pk].machine_clicks,
        )
        for link in known
    ]
    return sorted(uses, key=lambda one: (-one.clicks, -one.machine_clicks, one.link_id))[:limit]


def uses_of(
    link_ids: Collection[int], *, keys: frozenset[UUID], since: datetime, until: datetime
) -> dict[int, Totals]:
    """Return the hits of these links in the mail of a span, for those with any.

    `keys` empty: of all keys. The span is made longer, to whole days (UTC): one statement.
    """
    first = begin_of(since, step=Step.DAY, zone=ZoneInfo("UTC"))
    last = begin_of(until, step=Step.DAY, zone=ZoneInfo("UTC")) + timedelta(days=1)
    cut = Cut(start=first, end=last, keys=keys)
    wanted = set(map(str, link_ids))
    found: dict[int, Totals] = defaultdict(Totals)
    for (value,), counts in rollups.sums(cut, "value", by=By.LINK):
        if value in wanted:
            found[int(value)] += counts
    return dict(found)


def clickers(link_id: int, *, cut: Cut, limit: int = 50) -> list[Clicker]:
    """Return who followed a link, the newest first, in mail of the keys and span of the cut."""
    visits = Visit.objects.filter(
        link=link_id,
        kind=CLICKED,
        message__api_key__in=rollups.key_ids(cut),
        message__accepted_at__gte=cut.start,
        message__accepted_at__lt=cut.end,
    ).select_related("message")
    newest = visits.only("message__recipient", "at", "is_human").order_by("-event")[:limit]
    return [Clicker(one.message_id, one.message.recipient, one.at, one.is_human) for one in newest]


def failures(cut: Cut, *, limit: int = 50) -> list[FailureGroup]:
    """Return how mail failed, or why it was stopped, alike together, the most frequent first."""
    rows = rollups.tallies(cut, Tally.Series.FAILURE).values_list("value")
    most = (
        rows.annotate(sum=Sum("number"), first=Min("began_at"), last=Max("began_at"))
        .filter(sum__gt=0)
        .order_by("-sum", "value")[:limit]
    )
    return [FailureGroup(*value.split(SEPARATOR, 3), *figures) for value, *figures in most]


def waits(cut: Cut) -> Waits:
    """Return the percentiles of the time from acceptance to the hand-off, a tenth exact."""
    rows = rollups.tallies(cut, Tally.Series.WAIT).values_list("value")
    buckets = sorted((int(value), number) for value, number in rows.annotate(sum=Sum("number")))
    number = sum(count for _, count in buckets)

    def percentile(part: float) -> float | None:
        seen = 0
        for bucket, count in buckets:
            seen += count
            if count and seen >= math.ceil(part * number):
                seconds: float = WAIT_RATIO ** (bucket + 0.5) / 1000
                return seconds
        return None

    return Waits(number, percentile(0.5), percentile(0.9), percentile(0.95), percentile(0.99))


def as_csv(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a table as CSV (RFC 4180), which no spreadsheet takes for formulas."""
    file = StringIO()
    writer = csv.writer(file)
    writer.writerow(list(header))
    writer.writerows([_inert(cell) for cell in row] for row in rows)
    return file.getvalue()


def _inert(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in tuple("=+-@\t\r") else cell
