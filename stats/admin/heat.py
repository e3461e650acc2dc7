"""Lay out the hours of the week by how much people did in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stats.words import number, percent, short

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# From nothing to the most; each is a colour of the style sheet, darker by the same step.
LEVELS = 5


@dataclass(frozen=True, slots=True)
class Cell:
    """One hour of a day of the week. `text` is empty where nothing was done."""

    level: int
    text: str
    tip: str


@dataclass(frozen=True, slots=True)
class HeatMap:
    """The week, day by day. `rows` are for a table; `summary` says in words what stands out."""

    title: str
    total: int
    days: list[tuple[str, list[Cell]]]
    rows: list[tuple[str, list[str], str]]
    summary: str

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to draw."""
        return not self.total


def level_of(value: float, *, most: float) -> int:
    """Return how hot a value is, from 0 for nothing to `LEVELS` for the most."""
    if value <= 0 or most <= 0:
        return 0
    return max(1, min(LEVELS, -int(-value * LEVELS // most)))


def heat_map(table: Sequence[Sequence[int]], *, what: str) -> HeatMap:
    """Lay out a table of seven days by 24 hours; `what` says what is counted: "opens"."""
    most = max(max(row) for row in table)
    total = sum(map(sum, table))
    days = [
        (
            day,
            [
                _cell(count, day=day, hour=hour, most=most, total=total, what=what)
                for hour, count in enumerate(table[at])
            ],
        )
        for at, day in enumerate(DAYS)
    ]
    rows = [
        (day, [number(count) for count in table[at]], number(sum(table[at])))
        for at, day in enumerate(DAYS)
    ]
    title = f"{what.capitalize()} by day of the week and hour"
    return HeatMap(title, total, days, rows, _summary(table, most=most, total=total, what=what))


def hours(hour: int) -> str:
    """Return from when to when an hour of the day is."""
    return f"{hour:02}:00 to {hour + 1:02}:00"


def _cell(count: int, *, day: str, hour: int, most: int, total: int, what: str) -> Cell:
    tip = f"{day}, {hours(hour)}\n"
    tip += f"{number(count)} {what}, {percent(count / total)} of all" if count else f"no {what}"
    return Cell(level_of(count, most=most), short(count) if count else "", tip)


def _summary(table: Sequence[Sequence[int]], *, most: int, total: int, what: str) -> str:
    if not total:
        return ""
    places = [(day, hour) for day in range(len(DAYS)) for hour in range(24)]
    day, hour = max(places, key=lambda place: table[place[0]][place[1]])
    busiest = max(range(len(DAYS)), key=lambda one: sum(table[one]))
    return (
        f"Most {what} are on {DAYS[day]}, {hours(hour)}: {number(most)} of {number(total)} "
        f"({percent(most / total)}). The day with most is {DAYS[busiest]}, with "
        f"{percent(sum(table[busiest]) / total)}."
    )
