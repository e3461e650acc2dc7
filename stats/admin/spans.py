"""Read from the address of a page which time and which key it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.dateparse import parse_date

from stats import queries
from stats.queries import By, Cut, Step
from stats.queries.figures import first_hour

CHOICES = {"24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days"}
DAYS = {"7d": 7, "30d": 30, "90d": 90}
DEFAULT = "7d"
LONGEST_DAYS = 3700
# Up to so many days there is a column for each; then for each week, then for each month.
DAYS_BY_DAY, DAYS_BY_WEEK = 100, 500
HOURS_IN_A_DAY = 24
SHORTEST = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A time to tell of, and the one of the same length that it is compared with.

    Of a span that reaches to now, the earlier one ends at the same time of its last day.
    """

    name: str
    cut: Cut
    earlier: Cut
    step: Step
    first: date
    last: date
    title: str
    compared: str

    @property
    def query(self) -> str:
        """Return the parameters that ask for this span."""
        return f"span={self.name}" if self.name else f"from={self.first}&to={self.last}"

    @property
    def accepted(self) -> str:
        """Return the parameter that narrows the list of messages down to those of this span."""
        is_by_days = self.name != "24h"
        return f"accepted={self.first}..{self.last}" if is_by_days else "accepted=day"


def read_span(
    query: Mapping[str, str],
    *,
    now: datetime,
    keys: Sequence[UUID] = (),
    by: By = By.ALL,
    value: str = "",
    values: Sequence[str] | None = None,
) -> Span:
    """Return the span that is asked for; what cannot be read is as if it were not there."""
    zone = timezone.get_current_timezone()
    assert isinstance(zone, ZoneInfo)  # noqa: S101 - for the types
    today = now.astimezone(zone).date()
    given = _dates(query, today=today)
    name = query.get("span", "")
    name = name if name in CHOICES else ("" if given else DEFAULT)
    about = Cut(
        start=now,
        end=now,
        keys=frozenset(keys),
        by=by,
        value=value,
        values=None if values is None else tuple(values),
        zone=zone,
    )
    if name == "24h":
        return _last_hours(now, about=about)
    if name:
        given = (today - timedelta(days=DAYS[name] - 1), today)
    assert given is not None  # noqa: S101 - for the types
    return _days(*given, now=now, about=about, name=name)


def looked_up(span: Span) -> Span:
    """Return a span whose cuts know their keys and values, so that these are looked up once."""
    cut = queries.looked_up(span.cut)
    return replace(span, cut=cut, earlier=replace(span.earlier, keys=cut.keys, values=cut.values))


def chosen_key(query: Mapping[str, str], *, known: Sequence[UUID]) -> UUID | None:
    """Return the key that is asked for, if there is such a one."""
    with suppress(ValueError):
        key = UUID(query.get("key", ""))
        return key if key in known else None
    return None


def _dates(query: Mapping[str, str], *, today: date) -> tuple[date, date] | None:
    """Return the first and the last day asked for, in that order and not in the future."""
    try:
        first, last = parse_date(query.get("from", "")), parse_date(query.get("to", ""))
    except ValueError:
        return None
    if first is None and last is None:
        return None
    first, last = sorted((first or last or today, last or today))
    last = min(last, today)
    return max(min(first, last), last - timedelta(days=LONGEST_DAYS)), last


def _last_hours(now: datetime, *, about: Cut) -> Span:
    day = timedelta(days=1)
    cut = replace(about, start=now - timedelta(hours=HOURS_IN_A_DAY - 1), end=now)
    return Span(
        name="24h",
        cut=cut,
        earlier=replace(cut, start=cut.start - day, end=cut.end - day),
        step=Step.HOUR,
        first=cut.start.astimezone(cut.zone).date(),
        last=now.astimezone(cut.zone).date(),
        title="Last 24 hours",
        compared="the 24 hours before",
    )


def _days(first: date, last: date, *, now: datetime, about: Cut, name: str) -> Span:
    number = (last - first).days + 1
    start = datetime(first.year, first.month, first.day, tzinfo=about.zone)
    # On the clock of the zone, where a day may have 23 or 25 hours.
    end = min(start + timedelta(days=number), max(now.astimezone(about.zone), start + SHORTEST))
    back = timedelta(days=number)
    before = start - back
    return Span(
        name=name,
        cut=replace(about, start=first_hour(start), end=end),
        earlier=replace(about, start=first_hour(before), end=end - back),
        step=_step(number),
        first=first,
        last=last,
        title=f"Last {CHOICES[name]}" if name else _between(first, last),
        compared=_between(before.date(), (end - back - SHORTEST).date()),
    )


def _step(days: int) -> Step:
    if days <= 2:
        return Step.HOUR
    if days <= DAYS_BY_DAY:
        return Step.DAY
    return Step.WEEK if days <= DAYS_BY_WEEK else Step.MONTH


def _between(first: date, last: date) -> str:
    return f"{first:%-d %b %Y}" if first == last else f"{first:%-d %b %Y} to {last:%-d %b %Y}"
