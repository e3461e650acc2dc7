"""Write the answers: counts with their rates, or one of the tables, as JSON or as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from stats import queries
from stats.queries import By, Clicker, Cut, FailureGroup, LinkUse, Totals, Waits
from stats.serializers.questions import LIMITED, Question, Show


@dataclass(frozen=True, slots=True)
class OpenTime:
    """How often people opened and clicked in one hour of a day of the week; 1 is Monday."""

    weekday: int
    hour: int
    opens: int
    clicks: int


ROW_OF: Mapping[Show, type] = {
    Show.FAILURES: FailureGroup,
    Show.OPEN_TIMES: OpenTime,
    Show.LINKS: LinkUse,
    Show.CLICKERS: Clicker,
    Show.WAITS: Waits,
}


def answer(question: Question) -> dict[str, Any]:
    """Return what was asked for, with what it is of."""
    cut = question.cut
    told: dict[str, Any] = {
        "start": cut.start,
        "end": cut.end,
        "zone": str(cut.zone),
        "of": {cut.by.value: cut.value} if cut.by != By.ALL else None,
    }
    if question.show is not None:
        return told | _shown(question, question.show)
    told |= _counted(cut)
    if question.step is not None or question.by is not None:
        told["rows"] = _rows(question)
    return told


def as_csv(question: Question) -> str:
    """Return the rows as CSV: each rate with its counts and the ends of its interval."""
    if question.show is not None:
        header = [one.name for one in fields(ROW_OF[question.show])]
        table = _shown(question, question.show)["rows"]
    else:
        table = [_flat(row) for row in _rows(question)]
        header = list(table[0]) if table else ["value", "label", *_flat(_figures(Totals()))]
    return queries.as_csv(header, [map(_cell, row.values()) for row in table])


def _cell(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _counted(cut: Cut) -> dict[str, Any]:
    """Return the counts of a cut and of the span before it, with what the rates mean."""
    compared = queries.comparison(cut)
    waits = queries.waits(cut) if cut.by == By.ALL else None
    return {
        "totals": _figures(compared.now),
        "before": _figures(compared.before),
        "rate_definitions": queries.RATE_DEFINITIONS,
        # Known for all mail of a key together only.
        "seconds_to_handoff": waits
        and {name: getattr(waits, name) for name in ("p50", "p90", "p95", "p99")},
    }


def _shown(question: Question, show: Show) -> dict[str, Any]:
    """Return the rows of a table, and whether it has more than were asked for."""
    found = _table(question, show)
    listed = found[: question.limit] if show in LIMITED else found
    return {
        "show": show.value,
        "has_more": len(found) > len(listed),
        "rows": [asdict(row) for row in listed],
    }


def _table(question: Question, show: Show) -> Sequence[Any]:
    """Return the rows, where there may be more than asked for one more."""
    cut, limit = question.cut, question.limit + 1
    if show == Show.FAILURES:
        return queries.failures(cut, limit=limit)
    if show == Show.LINKS:
        return queries.links(cut, limit=limit)
    if show == Show.CLICKERS and question.link is not None:
        return queries.clickers(question.link, cut=cut, limit=limit)
    return _open_times(cut) if show == Show.OPEN_TIMES else [queries.waits(cut)]


def _open_times(cut: Cut) -> list[OpenTime]:
    opens, clicks = (queries.open_times(cut, kind=kind) for kind in ("opened", "clicked"))
    return [
        OpenTime(day + 1, hour, opens[day][hour], clicks[day][hour])
        for day in range(7)
        for hour in range(24)
    ]


def _rows(question: Question) -> list[dict[str, Any]]:
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
        label = f"{found.other_count} other{'' if found.other_count == 1 else 's'}"
        listed.append({"value": None, "label": label, **_figures(found.others)})
    return listed


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with each part of a rate in a column of its own; the share is the rate."""
    parts = {
        f"{name}_{'rate' if part == 'share' else part}": value
        for name, rate in row["rates"].items()
        for part, value in rate.items()
    }
    return {name: value for name, value in row.items() if name != "rates"} | parts


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
