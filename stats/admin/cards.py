"""Put the figures of a span of time on cards: each with its change and its course."""

from __future__ import annotations

from dataclasses import dataclass

from stats.admin.charts import Spark, spark
from stats.queries import Course, Rate, Totals
from stats.words import NOTHING, counts, exactly, number, percent, short, short_counts

# Name of the rate, what people call it, and what a rise of it is (of delivery: a fall). Of the
# other direction nothing is said: people open, and servers return, the newest mail later, so that
# any time that reaches to now looks as if less was opened and returned than before.
RATES = (
    ("delivery", "Delivered", "worse"),
    ("open", "Human opens", "better"),
    ("click", "Human clicks", "better"),
    ("bounce", "Bounced", "worse"),
    ("complaint", "Complaints", "worse"),
    ("unsubscribe", "Unsubscribed", "worse"),
)
FALLS = ("delivery",)
TO_COME = "what the newest mail brings is still to come"
# Less is written as nothing: of a share in points, of a number in per cent.
LEAST_POINTS, LEAST_GROWTH = 0.005, 0.05
NOT_READ_YET = "new mail is read later"
WITH_MACHINES = {"open": "open_with_machines", "click": "click_with_machines"}


@dataclass(frozen=True, slots=True)
class Card:
    """One figure. `mood` colours its change: better, worse, or nothing that is beyond chance.

    `more`: lines below the detail: the figure with machines, and what its change does not tell yet.
    """

    name: str
    title: str
    value: str
    detail: str
    more: tuple[str, ...]
    change: str
    mood: str
    spark: Spark
    tip: str


def cards(course: Course, *, compared: str, is_new: bool) -> list[Card]:
    """Return the cards of a course; `compared` says which time it is compared with.

    `is_new`: some of the mail is so new that people have not read it yet.
    """
    rates = [_rate_card(name, course, compared=compared, is_new=is_new) for name, _, _ in RATES]
    return [_sent_card(course, compared=compared), *rates]


def _sent_card(course: Course, *, compared: str) -> Card:
    now, before = course.now.sent, course.before.sent
    change = _growth(now, before) if before else NOTHING
    values = [point.totals.sent for point in course.points]
    tip = (
        f"answered for good by the next server: taken, returned or refused\n{number(now)} of "
        f"{number(course.now.accepted)} accepted\n{compared}: {number(before)}"
    )
    return Card(
        "sent",
        "Sent",
        short(now),
        f"{short(course.now.accepted)} accepted",
        (),
        change,
        "",
        spark(values, what="Sent"),
        tip,
    )


def _rate_card(name: str, course: Course, *, compared: str, is_new: bool) -> Card:
    title, mood = next(one[1:] for one in RATES if one[0] == name)
    now, before = course.now.rates[name], course.before.rates[name]
    tip = f"{exactly(name, now)}\n{compared}: {percent(before.share)} ({counts(before)})"
    detail = short_counts(now) if now.denominator else "none to count"
    more = []
    if name in WITH_MACHINES:
        both = course.now.rates[WITH_MACHINES[name]]
        tip += f"\nwith machines: {percent(both.share)} ({counts(both)})"
        more.append(f"{percent(both.share)} with machines")
        if is_new:
            more.append(NOT_READ_YET)
    if is_new:
        tip += f"\n{TO_COME}"
    values = [_share(point.totals, name) for point in course.points]
    return Card(
        name,
        title,
        percent(now.share),
        detail,
        tuple(more),
        _change(now, before),
        mood if _is_clear(*((before, now) if name in FALLS else (now, before))) else "",
        spark(values, what=title, is_share=True),
        tip,
    )


def _share(totals: Totals, name: str) -> float | None:
    return totals.rates[name].share


def _change(now: Rate, before: Rate) -> str:
    if now.share is None or before.share is None:
        return NOTHING
    points = (now.share - before.share) * 100
    if abs(points) < LEAST_POINTS:
        return "= as before"
    return f"{_arrow(points)} {abs(points):.{1 if abs(points) >= 1 else 2}f} points"


def _growth(now: int, before: int) -> str:
    """Return by how much a number grew or fell; no arrow where the digits say that it did not."""
    change = (now - before) * 100 / before
    if abs(change) < LEAST_GROWTH:
        return "= 0 %"
    return f"{_arrow(change)} {abs(change):.{0 if abs(change) >= 1 else 1}f} %"


def _arrow(change: float) -> str:
    return "\N{BLACK UP-POINTING TRIANGLE}" if change > 0 else "\N{BLACK DOWN-POINTING TRIANGLE}"


def _is_clear(higher: Rate, lower: Rate) -> bool:
    """Tell whether one rate is higher than another by more than chance would make it."""
    return higher.low is not None and lower.high is not None and higher.low > lower.high
