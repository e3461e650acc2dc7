"""Write figures for people: short where they are read, exact where they are pointed at."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from stats.queries import RATE_DEFINITIONS, Rate, Totals

NOTHING = "\N{EN DASH}"
THOUSAND = 1000
TWO_DIGITS = 10
# Shares: what is nearer to none or to all than this is said to be so near, or has two digits.
LEAST_SHOWN, TWO_DIGITS_BELOW = 0.0001, 0.01
MINUTE, HOUR, DAY = 60, 3600, 86_400


def number(value: int) -> str:
    """Return a count with its thousands apart."""
    return f"{value:,}"


def days_of(zone: tzinfo, *, at: datetime) -> str:
    """Return the name of a zone and, where that is not midnight, from when its days are counted.

    Counts are by hours of UTC, which begin within its hours in some zones.
    """
    offset = at.astimezone(zone).utcoffset() or timedelta()
    minutes = int(offset.total_seconds()) // MINUTE % MINUTE
    return f"{zone}, days from 00:{minutes:02} on" if minutes else str(zone)


def short(value: float) -> str:
    """Return a count in five characters or so."""
    for unit, name in ((THOUSAND**3, "G"), (THOUSAND**2, "M"), (THOUSAND, "k")):
        if value >= unit * (10 if unit == THOUSAND else 1):
            return f"{value / unit:.3g} {name}"
    return f"{value:,.0f}"


def percent(share: float | None) -> str:
    """Return a share in per cent, with more digits near the ends: only all is 100, only none 0."""
    if share is None:
        return NOTHING
    if share in (0, 1):
        return f"{share * 100:.0f} %"
    nearest_end = min(share, 1 - share)
    if nearest_end < LEAST_SHOWN:
        return (
            f"< {LEAST_SHOWN * 100:.2f} %"
            if share < LEAST_SHOWN
            else f"> {(1 - LEAST_SHOWN) * 100:.2f} %"
        )
    return f"{share * 100:.{1 if nearest_end >= TWO_DIGITS_BELOW else 2}f} %"


def counts(rate: Rate) -> str:
    """Return what a rate is made of."""
    return f"{rate.numerator:,} of {rate.denominator:,}"


def short_counts(rate: Rate) -> str:
    """Return the same in little room."""
    return f"{short(rate.numerator)} of {short(rate.denominator)}"


def between(rate: Rate) -> str:
    """Return between what a rate is with 95 % confidence; empty when nothing was counted."""
    if rate.low is None or rate.high is None:
        return ""
    return f"{rate.low * 100:.1f} to {percent(rate.high)}"


def exactly(name: str, rate: Rate) -> str:
    """Return a rate with its counts, its interval and its definition, line by line."""
    lines = [RATE_DEFINITIONS[name]]
    if rate.share is not None:
        lines.append(f"{counts(rate)} = {rate.share * 100:.3f} %")
        lines.append(
            f"with 95 % confidence {(rate.low or 0) * 100:.2f} % to {(rate.high or 0) * 100:.2f} %"
        )
    return "\n".join(lines)


def rate_mark(totals: Totals, *, name: str) -> SafeString:
    """Return a rate as HTML that says exactly what it is where it is pointed at."""
    rate = totals.rates[name]
    return format_html(
        '<span class="bm-rate" data-tip="{}">{}</span>', exactly(name, rate), percent(rate.share)
    )


def duration(seconds: float) -> str:
    """Return how long it is in the largest unit that says enough."""
    for unit, name in ((DAY, "days"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"


def seconds(value: float) -> str:
    """Return about how long it was, in two digits: waits are known to a tenth."""
    rounded = float(f"{value:.2g}")
    if rounded < 1:
        return f"about {rounded * 1000:.0f} ms"
    if rounded >= MINUTE:
        return f"about {duration(rounded)}"
    return f"about {rounded:.{1 if rounded < TWO_DIGITS else 0}f} s"


def ago(moment: datetime | None, *, now: datetime) -> str:
    """Return how long ago it was."""
    if moment is None:
        return "never"
    passed = (now - moment).total_seconds()
    return f"{duration(passed)} ago" if passed >= MINUTE else "just now"


def at(moment: datetime) -> str:
    """Return a moment in the zone of the dashboard, so that it sorts."""
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M %Z}"
