"""Define what a question about the counts is, and what the answers are. No database here."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

NORMAL_QUANTILE = 1.959964  # of a 95 % interval


class By(StrEnum):
    """What can be told apart: the dimensions of the rollups, and what follows from them.

    `TEMPLATE` sums its versions, `PROVIDER` the recipient domains that it receives for, `VARIANT`
    the versions that it is a variant of. A message with several tags is in each of them.
    """

    ALL = "all"
    KEY = "key"
    TEMPLATE = "template"
    VERSION = "version"
    STREAM = "stream"
    SENDER_DOMAIN = "sender_domain"
    RECIPIENT_DOMAIN = "recipient_domain"
    PROVIDER = "provider"
    BATCH = "batch"
    VARIANT = "variant"
    TAG = "tag"
    CLIENT = "client"
    DEVICE = "device"
    COUNTRY = "country"
    LINK = "link"


class Step(StrEnum):
    """How long each point of a series is."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Which messages are asked about: accepted from `start` up to `end`, at whole hours (UTC).

    `keys` empty: all keys. `by` and `value`: only those of one template, domain and so on; for a
    client, device, country or link only the hits are counted. `values`: those of the rollups that
    `value` stands for, where they were looked up. `zone`: where days begin.
    """

    start: datetime
    end: datetime
    keys: frozenset[UUID] = frozenset()
    by: By = By.ALL
    value: str = ""
    values: tuple[str, ...] | None = None
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

    def __post_init__(self) -> None:
        start, end = hour_of(self.start), hour_of(self.end)
        if end < self.end:
            end += timedelta(hours=1)
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "end", end)


def hour_of(moment: datetime) -> datetime:
    """Return the beginning of the hour in UTC."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def first_hour(day: datetime) -> datetime:
    """Return the first hour in UTC that begins in a day, given by its midnight.

    In some zones midnight is at half an hour.
    """
    begin = hour_of(day)
    return begin if begin == day else begin + timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Rate:
    """A share with its counts, and between what it is with 95 % confidence (Wilson's interval).

    All of `share`, `low` and `high` are from 0 to 1, None when nothing was counted.
    """

    numerator: int
    denominator: int

    @property
    def share(self) -> float | None:
        """Return the share itself."""
        return self.numerator / self.denominator if self.denominator else None

    @property
    def low(self) -> float | None:
        """Return the lower end of the interval."""
        interval = self._interval()
        return interval[0] if interval else None

    @property
    def high(self) -> float | None:
        """Return the upper end of the interval."""
        interval = self._interval()
        return interval[1] if interval else None

    def _interval(self) -> tuple[float, float] | None:
        number = self.denominator
        if number <= 0:
            return None
        share = min(max(self.numerator / number, 0.0), 1.0)
        square = NORMAL_QUANTILE**2
        middle = (share + square / (2 * number)) / (1 + square / number)
        spread = math.sqrt(share * (1 - share) / number + square / (4 * number**2))
        half = NORMAL_QUANTILE * spread / (1 + square / number)
        return max(0.0, middle - half), min(1.0, middle + half)


# What each rate is, in the words that stand beside it.
RATE_DEFINITIONS = {
    "delivery": "delivered / sent",
    "open": "messages opened by a person / delivered",
    "open_with_machines": "messages opened by anybody / delivered",
    "click": "messages clicked by a person / delivered",
    "click_with_machines": "messages clicked by anybody / delivered",
    "bounce": "bounced / sent",
    "unsubscribe": "messages unsubscribed from / delivered",
    "complaint": "messages complained of / delivered",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The counts of some messages; each is in one of the first eleven, where it stands now."""

    waiting: int = 0
    taken: int = 0
    confirmed: int = 0
    bounced: int = 0
    complained: int = 0
    rejected: int = 0
    failed: int = 0
    suppressed: int = 0
    canceled: int = 0
    expired: int = 0
    unknown: int = 0
    deferrals: int = 0
    opened: int = 0
    any_opened: int = 0
    clicked: int = 0
    any_clicked: int = 0
    opens: int = 0
    machine_opens: int = 0
    clicks: int = 0
    machine_clicks: int = 0
    unsubscribed: int = 0

    def __add__(self, other: Totals) -> Totals:
        return total_of([self, other])

    @property
    def delivered(self) -> int:
        """Return how many the next hop took and did not return: delivered as far as is known."""
        return self.taken + self.confirmed + self.complained

    @property
    def sent(self) -> int:
        """Return how many the other side has answered for good: taken, returned or refused."""
        return self.delivered + self.bounced + self.rejected

    @property
    def accepted(self) -> int:
        """Return how many were accepted for sending; what was suppressed later is among them."""
        return self.sent + self.stopped + self.waiting + self.unknown

    @property
    def stopped(self) -> int:
        """Return how many ended here, and never reached the other side."""
        return self.failed + self.suppressed + self.canceled + self.expired

    @property
    def rates(self) -> dict[str, Rate]:
        """Return the rates of `RATE_DEFINITIONS` by name."""
        return {
            "delivery": Rate(self.delivered, self.sent),
            "open": Rate(self.opened, self.delivered),
            "open_with_machines": Rate(self.any_opened, self.delivered),
            "click": Rate(self.clicked, self.delivered),
            "click_with_machines": Rate(self.any_clicked, self.delivered),
            "bounce": Rate(self.bounced, self.sent),
            "unsubscribe": Rate(self.unsubscribed, self.delivered),
            "complaint": Rate(self.complained, self.delivered),
        }


COUNTS = tuple(one.name for one in fields(Totals))
_all_counts = attrgetter(*COUNTS)


def total_of(many: Iterable[Totals]) -> Totals:
    """Return the sum of totals: count by count, because a page adds up thousands of them."""
    sums = map(sum, zip(*map(_all_counts, many), strict=True))
    return Totals(**dict(zip(COUNTS, sums, strict=False)))


@dataclass(frozen=True, slots=True)
class Point:
    """One step of a series, by when it begins in the zone of the viewer."""

    start: datetime
    totals: Totals


@dataclass(frozen=True, slots=True)
class Share:
    """One row of a breakdown: a value, how people call it, and its counts."""

    value: str
    label: str
    totals: Totals


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The largest values, and all others together; `other_count` says how many those are."""

    rows: list[Share]
    others: Totals
    other_count: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """The counts of a span of time and of the one of the same length before it."""

    now: Totals
    before: Totals

    def change(self, name: str) -> float | None:
        """Return by which part a count of Totals has grown (0.1: by a tenth); None from nothing."""
        before, now = getattr(self.before, name), getattr(self.now, name)
        change: float | None = (now - before) / before if before else None
        return change


@dataclass(frozen=True, slots=True)
class LinkUse:
    """One link: how often people and machines followed it, how many messages people did it from."""

    link_id: int
    url: str
    version_id: int
    position: int
    clicks: int
    clickers: int
    machine_clicks: int


@dataclass(frozen=True, slots=True)
class Clicker:
    """Somebody who followed a link."""

    message_id: UUID
    recipient: str
    at: datetime
    is_human: bool


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """How often mail failed in the same way; `text` has no addresses and numbers.

    `first_at` and `last_at`: the beginnings of the hours in which it did first and last.
    """

    kind: str
    code: str
    enhanced: str
    text: str
    number: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Waits:
    """How long it took from acceptance to the hand-off, in seconds; None when nothing was sent."""

    number: int
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None


def as_dict(totals: Totals) -> dict[str, Any]:
    """Return the counts by name, those that follow from others too."""
    counts = dict(zip(COUNTS, _all_counts(totals), strict=True))
    derived = ("accepted", "sent", "delivered", "stopped")
    return {name: getattr(totals, name) for name in derived} | counts
