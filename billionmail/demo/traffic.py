"""Say when mail is accepted: with the rhythm of days and weeks, to the exact number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from random import Random

from billionmail.demo.cast import Part
from sending.models import Stream

HOUR = timedelta(hours=1)
# How much of a day's mail is accepted in each hour (UTC).
HOURS = (2, 1, 1, 1, 1, 2, 4, 7, 10, 12, 12, 11, 11, 11, 10, 10, 10, 10, 11, 12, 11, 8, 6, 3)
WEEKDAYS = (1.1, 1.05, 1.0, 1.0, 1.1, 0.8, 0.7)
LETTER_DAYS, LETTER_HOURS = (1, 3), {9: 6.0, 10: 3.0}
LETTER_MINUTES = 12


def acceptances(
    parts: Sequence[Part], *, number: int, days: int, now: datetime, rng: Random
) -> Iterator[tuple[int, datetime]]:
    """Return `number` times, each with the place of the part whose it is, in their order.

    They lie in the last `days` days, the last one a minute before `now`.
    """
    hours = days * 24
    begin = now - HOUR * hours
    cells = [[_weight(part, begin + HOUR * at, now=now) for at in range(hours)] for part in parts]
    due, counts = 0.0, [[0] * hours for _ in parts]
    shares = [_shares(part, cell) for part, cell in zip(parts, cells, strict=True)]
    scale = number / sum(map(sum, shares))
    given = 0
    for at in range(hours):
        for place, share in enumerate(shares):
            due += share[at] * scale
            counts[place][at] = round(due) - given
            given += counts[place][at]
        yield from _hour(parts, [one[at] for one in counts], begin + HOUR * at, rng=rng)


def _shares(part: Part, weights: list[float]) -> list[float]:
    total = sum(weights)
    return [part.share * one / total if total else 0.0 for one in weights]


def _weight(part: Part, hour: datetime, *, now: datetime) -> float:
    days_back = (now - hour) / timedelta(days=1)
    if not part.active_days[1] <= days_back <= part.active_days[0]:
        return 0.0
    if part.stream == Stream.BULK:
        is_letter = hour.weekday() in LETTER_DAYS and hour.hour in LETTER_HOURS
        return LETTER_HOURS[hour.hour] if is_letter else 0.02
    growth = 1.5 - min(days_back, 100) / 200
    return growth * WEEKDAYS[hour.weekday()] * HOURS[hour.hour]


def _hour(
    parts: Sequence[Part], counts: Sequence[int], hour: datetime, *, rng: Random
) -> Iterator[tuple[int, datetime]]:
    times = []
    for place, count in enumerate(counts):
        is_letter = parts[place].stream == Stream.BULK
        seconds = LETTER_MINUTES * 60 if is_letter else 3540
        times += [(rng.random() * seconds, place) for _ in range(count)]
    times.sort()
    for after, place in times:
        yield place, hour + timedelta(seconds=after)
