"""Read a question about the figures from the parameters of a URL, and write the answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from django.utils.dateparse import parse_date, parse_datetime

from sending.models import made_at
from stats import queries
from stats.errors import InvalidQuestion
from stats.queries import By, Cut, Step, Totals
from stats.queries.figures import first_hour

Choice = TypeVar("Choice", bound=StrEnum)

CHOOSABLE = (By.BATCH, By.VARIANT, By.TAG)
BATCH_ID_VERSION = 7
DEFAULT_DAYS = 30
LONGEST = timedelta(days=3700)
# A batch is named by the clock of a web server, and accepted by that of the database.
CLOCKS_APART = timedelta(hours=1)
MAX_POINTS = 2400  # hours of a hundred days
MAX_ROWS = 100
DEFAULT_ROWS = 10
SECONDS = {Step.HOUR: 3600, Step.DAY: 86_400, Step.WEEK: 604_800, Step.MONTH: 2_419_200}


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: of which messages, step by step or by what, and in which form."""

    cut: Cut
    step: Step | None
    by: By | None
    limit: int
    is_csv: bool


def read_question(query: Mapping[str, str], *, key_id: UUID, now: datetime) -> Question:
    """Read the parameters of one key's question; raises InvalidQuestion."""
    zone = _zone(query.get("zone", "UTC"))
    start, end = _span(query, zone=zone, now=now)
    step = _one_of(Step, query.get("step", ""), "step")
    if step is not None and (end - start).total_seconds() / SECONDS[step] > MAX_POINTS:
        raise InvalidQuestion(f"That is more than {MAX_POINTS} steps; ask for longer ones.")
    by = _one_of(By, query.get("by", ""), "by")
    if step is not None and by is not None:
        raise InvalidQuestion("Give step or by, not both.")
    is_csv = _format(query.get("format", "json"))
    chosen, value = _chosen(query)
    if chosen != By.ALL and by is not None:
        raise InvalidQuestion(f"Give by or {chosen}, not both: figures are told apart by one.")
    cut = Cut(start=start, end=end, keys=frozenset({key_id}), by=chosen, value=value, zone=zone)
    return Question(cut, step, by, _limit(query.get("limit")), is_csv)


def _chosen(query: Mapping[str, str]) -> tuple[By, str]:
    """Return which mail alone is asked about: one batch, variant or tag."""
    given = [(by, query[by].strip()) for by in CHOOSABLE if query.get(by, "").strip()]
    if len(given) > 1:
        names = " or ".join(by.value for by, _ in given)
        raise InvalidQuestion(f"Give {names}, not both: figures are told apart by one.")
    by, value = given[0] if given else (By.ALL, "")
    if "\0" in value:
        raise InvalidQuestion(f"{by} must have no NUL character; no stored text has one.")
    return by, str(_batch(value)) if by == By.BATCH else value


def _batch(text: str) -> UUID:
    try:
        identity = UUID(text)
        is_one = identity.version == BATCH_ID_VERSION and bool(made_at(identity))
    except ValueError:
        is_one = False
    if not is_one:
        raise InvalidQuestion("batch must be an id, as the header X-Batch-ID gives it.")
    return identity


def answer(question: Question) -> dict[str, Any]:
    """Return the figures asked for, with the rates and what they mean."""
    cut = question.cut
    compared = queries.comparison(cut)
    waits = queries.waits(cut) if cut.by == By.ALL else None
    told: dict[str, Any] = {
        "start": cut.start,
        "end": cut.end,
        "zone": str(cut.zone),
        "totals": _figures(compared.now),
        "before": _figures(compared.before),
        "rate_definitions": queries.RATE_DEFINITIONS,
        "of": {cut.by.value: cut.value} if cut.by != By.ALL else None,
        # Known for all mail of a key together only.
        "seconds_to_handoff": waits
        and {name: getattr(waits, name) for name in ("p50", "p90", "p95", "p99")},
    }
    if question.step is not None or question.by is not None:
        told["rows"] = rows(question)
    return told


def rows(question: Question) -> list[dict[str, Any]]:
    """Return the series or the breakdown; of neither, the one row of all."""
    if question.step is not None:
        points = queries.series(question.cut, step=question.step)
        return [{"start": point.start.isoformat(), **_figures(point.totals)} for point in points]
    if question.by is None:
        return [_figures(queries.totals(question.cut))]
    found = queries.breakdown(question.cut, by=question.by, limit=question.limit)
    listed = [
        {"value": one.value, "label": one.label, **_figures(one.totals)} for one in found.rows
    ]
    if found.other_count:
        label = f"{found.other_count} others"
        listed.append({"value": None, "label": label, **_figures(found.others)})
    return listed


def as_csv(question: Question) -> str:
    """Return the rows as CSV, each rate in a column of its own."""
    table = [_flat(row) for row in rows(question)]
    header = list(table[0]) if table else []
    return queries.as_csv(header, [row.values() for row in table])


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    rates = {f"{name}_rate": rate["share"] for name, rate in row["rates"].items()}
    return {name: value for name, value in row.items() if name != "rates"} | rates


def _figures(totals: Totals) -> dict[str, Any]:
    rates = {
        name: {
            "share": rate.share,
            "numerator": rate.numerator,
            "denominator": rate.denominator,
            "low": rate.low,
            "high": rate.high,
        }
        for name, rate in totals.rates.items()
    }
    return {**queries.as_dict(totals), "rates": rates}


def _span(query: Mapping[str, str], *, zone: ZoneInfo, now: datetime) -> tuple[datetime, datetime]:
    """Return the span of time: as given, that of the batch, else the newest days."""
    start = _moment(query.get("start", ""), "start", zone=zone)
    end = _moment(query.get("end", ""), "end", zone=zone)
    batch = query.get("batch", "").strip()
    if start is None and batch:
        made = made_at(_batch(batch))
        if end is None and query.get("step") == Step.HOUR:
            # It is in one hour, and all hours since an old one would be too many steps.
            made = min(made, now - CLOCKS_APART)
            return made - CLOCKS_APART, made + CLOCKS_APART
        end = end or now
        start = min(end - timedelta(days=DEFAULT_DAYS), made - CLOCKS_APART)
    end = end or now
    start = start or end - timedelta(days=DEFAULT_DAYS)
    if not start < end:
        raise InvalidQuestion("start must be before end.")
    if end - start > LONGEST:
        raise InvalidQuestion("start and end are more than ten years apart; ask for less.")
    return start, end


def _zone(name: str) -> ZoneInfo:
    if name not in available_timezones():
        raise InvalidQuestion(f"zone must be a name such as Europe/Lisbon, not {name[:60]!r}.")
    return ZoneInfo(name)


def _moment(text: str, name: str, *, zone: ZoneInfo) -> datetime | None:
    if not text:
        return None
    day = None
    try:
        day = parse_date(text)
        moment = datetime(day.year, day.month, day.day) if day else parse_datetime(text)  # noqa: DTZ001 - the zone follows
    except ValueError:
        moment = None
    if moment is None or not 1970 < moment.year < 9000:
        raise InvalidQuestion(
            f"{name} must be a date or a time such as 2026-03-01 or 2026-03-01T12:00:00Z."
        )
    moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return first_hour(moment) if day else moment


def _one_of(choices: type[Choice], text: str, name: str) -> Choice | None:
    if not text:
        return None
    try:
        return choices(text)
    except ValueError:
        known = ", ".join(one.value for one in choices)
        raise InvalidQuestion(f"{name} must be one of {known}.") from None


def _format(text: str) -> bool:
    if text not in ("json", "csv"):
        raise InvalidQuestion("format must be json or csv.")
    return text == "csv"


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_ROWS
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= MAX_ROWS):
        raise InvalidQuestion(f"limit must be a number from 1 to {MAX_ROWS}.")
    return int(text)
