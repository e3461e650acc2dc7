"""Read the rollups: whole days where a span has them, hours at its ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import add
from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet, Sum

from apikeys.models import ApiKey
from sending.models import RecipientDomain, TemplateVersion
from sending.pacing.providers import DOMAINS
from stats.models import MEASURE_OF_STATUS, MEASURES, SEPARATOR, Day, Dimension, Hour, Tally
from stats.queries.figures import By, Cut, Step, Totals

SUMS = {f"sum_{name}": Sum(name) for name in MEASURES}
# As `Totals.accepted`: each message is in one of these.
ACCEPTED: Any = reduce(add, map(F, dict.fromkeys(MEASURE_OF_STATUS.values())))
DERIVED = {
    By.KEY: Dimension.ALL,
    By.TEMPLATE: Dimension.VERSION,
    By.PROVIDER: Dimension.RECIPIENT_DOMAIN,
}


def dimension_of(by: By) -> str:
    """Return the dimension whose rows answer it."""
    return str(DERIVED.get(by) or Dimension(by))


def key_ids(cut: Cut) -> list[UUID]:
    """Return the keys of a cut; they are tens, and each is one short walk through the index."""
    if cut.by == By.KEY and cut.value:
        chosen = UUID(cut.value)
        return [chosen] if not cut.keys or chosen in cut.keys else []
    return sorted(cut.keys) if cut.keys else list(ApiKey.objects.values_list("pk", flat=True))


def spans(start: datetime, end: datetime) -> Iterator[tuple[type[Hour] | type[Day], Any, Any]]:
    """Split a span into whole days (UTC) and the hours before and after them."""
    first = start.replace(hour=0)
    if first < start:
        first += timedelta(days=1)
    last = end.replace(hour=0)
    if first >= last:
        yield Hour, start, end
        return
    if start < first:
        yield Hour, start, first
    yield Day, first, last
    if last < end:
        yield Hour, last, end


def is_of_whole_days(cut: Cut, *, step: Step) -> bool:
    """Tell whether the days of the rollups, which are in UTC, are those of the series."""
    return step != Step.HOUR and str(cut.zone) in ("UTC", "Etc/UTC")


def sums(cut: Cut, *groups: str, by: By | None = None) -> Iterator[tuple[tuple[Any, ...], Totals]]:
    """Return the sums of a cut for each combination of the columns in `groups`.

    A combination may come several times. `by`: of the rows of that dimension, not of the cut's.
    """
    return summed(rows_of(cut, by=by), *groups)


def rows_of(*cuts: Cut, by: By | None = None) -> list[QuerySet[Any]]:
    """Return the rows of cuts of the same mail: of whole days, and of the hours at their ends.

    Of batches, each of which is in one hour, there are no days.
    """
    if By.BATCH in (by, cuts[0].by):
        return _rows_in([(Hour, cut.start, cut.end) for cut in cuts], cuts[0], by=by)
    parts = [part for cut in cuts for part in spans(cut.start, cut.end)]
    return _rows_in(parts, cuts[0], by=by)


def hours_of(*cuts: Cut) -> list[QuerySet[Any]]:
    """Return the rows of each hour of cuts of the same mail."""
    return _rows_in([(Hour, cut.start, cut.end) for cut in cuts], cuts[0], by=None)


def _rows_in(
    parts: Iterable[tuple[type[Hour] | type[Day], Any, Any]], cut: Cut, *, by: By | None
) -> list[QuerySet[Any]]:
    """Return the rows of spans of time, having looked up once what the cut is about."""
    asked = cut.by if by is None else by
    keys = key_ids(cut)
    values = _values(cut) if asked == cut.by else None
    return [
        _rows(model, by=asked, keys=keys, values=values, start=start, end=end)
        for model, start, end in parts
    ]


def hours(cut: Cut) -> Iterator[tuple[datetime, Totals]]:
    """Return the counts of each hour that has any."""
    for (began_at,), totals in summed(hours_of(cut), "began_at"):
        yield began_at, totals


def days(cut: Cut) -> Iterator[tuple[datetime, Totals]]:
    """Return the counts of each day or hour that has any: days in UTC, hours at the ends."""
    for (began_at,), totals in sums(cut, "began_at"):
        yield began_at, totals


def summed(
    parts: Sequence[QuerySet[Any]], *groups: str
) -> Iterator[tuple[tuple[Any, ...], Totals]]:
    """Return the sums of some rows for each combination of the columns in `groups`.

    A combination may come once from each part; all are read in one statement.
    """
    depth = max(len(groups), 1)
    sums = [
        rows.order_by().values_list(*(groups or ["dimension"])).annotate(**SUMS) for rows in parts
    ]
    if not sums:
        return
    for row in sums[0].union(*sums[1:], all=True) if len(sums) > 1 else sums[0]:
        totals = Totals(**dict(zip(MEASURES, row[depth:], strict=True)))
        yield row[: len(groups)], totals


def largest(rows: QuerySet[Any], group: str, *, limit: int) -> list[tuple[Any, Totals]]:
    """Return the sums of those rows that are the most messages together, by a column."""
    ranked = rows.values_list(group).annotate(**SUMS, most=Sum(ACCEPTED))
    return [
        (value, Totals(**dict(zip(MEASURES, counts, strict=True))))
        for value, *counts, _ in ranked.order_by("-most", group)[:limit]
    ]


def tallies(cut: Cut, series: Tally.Series) -> QuerySet[Tally]:
    """Return the tallies of a cut; they know keys and times only."""
    return Tally.objects.filter(
        series=series,
        api_key__in=key_ids(cut),
        began_at__gte=cut.start,
        began_at__lt=cut.end,
    )


def provider_of(domains: Iterable[str]) -> dict[str, str]:
    """Return the provider of each recipient domain; the domain itself when none is known."""
    wanted = set(domains)
    looked_up = dict(
        RecipientDomain.objects.exclude(provider="")
        .filter(domain__in=wanted - DOMAINS.keys())
        .values_list("domain", "provider")
    )
    return {one: DOMAINS.get(one) or looked_up.get(one) or one for one in wanted}


def _rows(
    model: type[Hour] | type[Day],
    *,
    by: By,
    keys: list[UUID],
    values: list[str] | None,
    start: datetime,
    end: datetime,
) -> QuerySet[Any]:
    rows = model._default_manager.filter(
        dimension=dimension_of(by),
        api_key__in=keys,
        began_at__gte=start.astimezone(UTC),
        began_at__lt=end.astimezone(UTC),
    )
    return rows if values is None else rows.filter(value__in=values)


def looked_up(cut: Cut) -> Cut:
    """Return a cut with its keys and values, so that several questions look them up once."""
    values = _values(cut)
    return replace(
        cut,
        keys=frozenset(key_ids(cut)),
        values=None if values is None else tuple(values),
    )


def is_sent_by(cut: Cut, *, key_id: UUID) -> bool:
    """Tell whether the template or version of a cut is a key's own, or was ever sent by it."""
    versions = _values(cut) or []
    own = TemplateVersion.objects.filter(pk__in=versions, template__sendingprofile=key_id)
    sent = Day.objects.filter(
        dimension=dimension_of(cut.by), api_key=key_id, value__in=[str(one) for one in versions]
    )
    return own.exists() or sent.exists()


def _values(cut: Cut) -> list[str] | None:
    """Return the values of the rows that a cut is about; None when it is about all."""
    if cut.values is not None:
        return list(cut.values)
    if cut.by in (By.ALL, By.KEY):
        return None
    if cut.by == By.TEMPLATE:
        versions = TemplateVersion.objects.filter(template_id=int(cut.value))
        return [str(one) for one in versions.values_list("pk", flat=True)]
    if cut.by == By.VARIANT:
        versions_known = TemplateVersion.objects.values_list("pk", flat=True)
        return [SEPARATOR.join((cut.value, str(one))) for one in ("", *versions_known)]
    if cut.by == By.PROVIDER:
        looked_up = RecipientDomain.objects.filter(provider=cut.value)
        known = [one for one, provider in DOMAINS.items() if provider == cut.value]
        return [cut.value, *known, *looked_up.values_list("domain", flat=True)]
    return [cut.value]
