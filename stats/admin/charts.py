"""Lay out charts: what the templates of `stats/charts/` draw as inline SVG.

No library draws them: they are there without a script, follow the theme by style sheet, can be
replaced in a page that is open, and say what they show to who cannot see them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from stats.queries import Point, Step, Totals
from stats.words import number, percent, short

# A spark line is drawn into a box of this size, and then stretched.
SPARK_WIDTH, SPARK_HEIGHT = 100, 24
SPARK_MARGIN = 2
TICKS = 4
MOST_LABELS = 8
# What each message is in, from the bottom of a column to its top: title, colour, count.
OUTCOMES: Sequence[tuple[str, str, Callable[[Totals], int]]] = (
    ("Delivered", "delivered", lambda one: one.delivered),
    ("Bounced or refused", "bounced", lambda one: one.bounced + one.rejected),
    ("Failed or expired", "failed", lambda one: one.failed + one.expired),
    ("Suppressed or canceled", "stopped", lambda one: one.suppressed + one.canceled),
    ("Outcome unknown", "unknown", lambda one: one.unknown),
    ("Waiting", "waiting", lambda one: one.waiting),
)


@dataclass(frozen=True, slots=True)
class Band:
    """One kind of count in each column of a chart, in one colour (a class of the style sheet)."""

    title: str
    color: str
    numbers: list[int]

    @property
    def total(self) -> str:
        """Return the sum, as it is written."""
        return number(sum(self.numbers))


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a column, in per cent of the height of the chart, from its top."""

    color: str
    top: float
    height: float


@dataclass(frozen=True, slots=True)
class Column:
    """One step of a chart. `label` is empty where there is no room; `tip` says it exactly.

    `middle`: in per cent of the width of the chart, from its left.
    """

    title: str
    label: str
    middle: float
    tip: str
    segments: list[Segment]
    cells: list[str]


@dataclass(frozen=True, slots=True)
class Bars:
    """A chart of stacked columns. `ticks`: what is written at which per cent from the top."""

    title: str
    unit: str
    bands: list[Band]
    columns: list[Column]
    ticks: list[tuple[str, float]]
    width: int

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to draw."""
        return not any(any(band.numbers) for band in self.bands)


def bars(
    title: str, *, bands: Sequence[Band], titles: Sequence[str], labels: Sequence[str], unit: str
) -> Bars:
    """Lay out a chart with a column for each title; bands without any count are left out."""
    shown = [band for band in bands if any(band.numbers)]
    sums = [sum(max(band.numbers[at], 0) for band in shown) for at in range(len(titles))]
    top, step = _scale(max(sums, default=0))
    every = max(math.ceil(len(titles) / MOST_LABELS), 1)
    columns = [
        _column(
            shown,
            at=at,
            title=title,
            label=labels[at] if at % every == 0 else "",
            count=len(titles),
            top=top,
            unit=unit,
        )
        for at, title in enumerate(titles)
    ]
    marks = range(0, top + 1, step)
    ticks = [(short(mark), 100 - 100 * mark / top) for mark in marks]
    return Bars(title, unit, shown, columns, ticks, width=10 * len(titles))


def _column(
    bands: Sequence[Band], *, at: int, title: str, label: str, count: int, top: int, unit: str
) -> Column:
    segments = []
    height = 0.0
    for band in bands:
        part = 100 * max(band.numbers[at], 0) / top
        height += part
        if part:
            segments.append(Segment(band.color, round(100 - height, 3), round(part, 3)))
    lines = [f"{band.title}: {number(band.numbers[at])}" for band in bands if band.numbers[at]]
    tip = "\n".join([title, *(lines or [f"no {unit}"])])
    cells = [number(band.numbers[at]) for band in bands]
    return Column(title, label, round(100 * (at + 0.5) / count, 3), tip, segments, cells)


def _scale(most: int) -> tuple[int, int]:
    """Return the end of an axis and the distance of its marks, both easy to read."""
    rough = max(most, 1) / TICKS
    power = 10 ** math.floor(math.log10(rough)) if rough >= 1 else 1
    step = next(int(power * one) for one in (1, 2, 5, 10) if power * one >= rough)
    return step * max(math.ceil(most / step), 1), step


def outcomes(points: Sequence[Point], *, step: Step) -> Bars:
    """Return the chart of what became of the messages accepted in each step."""
    bands = [
        Band(title, color, [count(point.totals) for point in points])
        for title, color, count in OUTCOMES
    ]
    return bars(
        "Messages by what became of them",
        bands=bands,
        titles=[full_title(point.start, step=step) for point in points],
        labels=[short_title(point.start, step=step) for point in points],
        unit="messages",
    )


def full_title(start: datetime, *, step: Step) -> str:
    """Return which hour, day, week or month it is."""
    if step == Step.HOUR:
        return f"{start:%a %-d %b, %H:%M} to {start + timedelta(hours=1):%H:%M}"
    if step == Step.MONTH:
        return f"{start:%B %Y}"
    return f"{'Week from ' if step == Step.WEEK else ''}{start:%a %-d %b %Y}"


def short_title(start: datetime, *, step: Step) -> str:
    """Return the same for the foot of a column."""
    formats = {Step.HOUR: "%H:%M", Step.MONTH: "%b %y"}
    return start.strftime(formats.get(step, "%-d %b"))


@dataclass(frozen=True, slots=True)
class Spark:
    """A small line without axes. `paths` are its pieces: there are gaps where nothing is known."""

    paths: list[str]
    tip: str
    color: str = ""
    width: int = SPARK_WIDTH
    height: int = SPARK_HEIGHT


def spark(values: Sequence[float | None], *, what: str, is_share: bool = False) -> Spark:
    """Draw values as a line that begins at zero; `what` says in words what they are."""
    known = [value for value in values if value is not None]
    if not known:
        return Spark([], f"{what}: nothing yet")
    write = percent if is_share else lambda value: number(round(value))
    highest, last = max(known), known[-1]
    tip = f"{what}: last {write(last)}, highest {write(highest)}, lowest {write(min(known))}"
    return Spark(_paths(values, highest=highest or 1), tip)


def _paths(values: Sequence[float | None], *, highest: float) -> list[str]:
    room = SPARK_HEIGHT - 2 * SPARK_MARGIN
    width = SPARK_WIDTH / max(len(values) - 1, 1)
    pieces: list[list[str]] = [[]]
    for at, value in enumerate(values):
        if value is None:
            pieces.append([])
            continue
        pieces[-1].append(
            f"{at * width:.1f} {SPARK_HEIGHT - SPARK_MARGIN - room * value / highest:.1f}"
        )
    # A line from a point to itself is drawn as a dot.
    return ["M" + " L".join(one if len(one) > 1 else one * 2) for one in pieces if one]
