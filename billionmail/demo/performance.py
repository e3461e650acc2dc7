"""Perform the demonstration: from the scene to the counts.

Many messages are made side by side. Their recipients live in towns, which know nothing of each
other, each with chances of its own: so it is the same mail however many processes there are.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import zip_longest
from random import Random

from django.db import transaction

from billionmail.demo import surroundings
from billionmail.demo.cast import PARTS, Part
from billionmail.demo.history import Lot, Sender
from billionmail.demo.lives import People, live
from billionmail.demo.scene import set_scene
from billionmail.demo.traffic import acceptances
from billionmail.demo.writing import store
from sending import processes
from sending.models import Stream
from stats import rollups

MESSAGES_AT_ONCE = 20_000
# From here on there are several towns; below, starting processes takes longer than it saves.
MANY, TOWNS = 100_000, 8
# Counting the whole log anew writes each count once; following it, once in each lot.
COUNTED_ANEW_FROM = 50_000
# A mailing to many is one call, some four times a day.
MAILING_HOURS = 6
# Everybody gets several messages.
MESSAGES_EACH = 6
LOOK_SECONDS = 0.5

# Told how much is done, of how much, and of what.
Watch = Callable[[int, int, str], None]
Usage = Counter[tuple[Part, date]]


@dataclass(frozen=True)
class Play:
    """What all towns have in common."""

    senders: Sequence[Sender]
    messages: int
    towns: int
    days: int
    seed: int
    now: datetime

    @property
    def begin(self) -> datetime:
        """Return when the first message is accepted."""
        return self.now - timedelta(days=self.days)


def perform(*, messages: int, days: int, seed: int, now: datetime, watch: Watch) -> None:
    """Make up so many messages of the last days and everything around them, and count them.

    The same seed and `now` make the same mail. Should it end early, `remove` takes away what
    there is. Raises ValidationError where a name is taken.
    """
    now = now.replace(microsecond=0)
    with transaction.atomic():
        senders = set_scene(begin=now - timedelta(days=days), now=now)
    towns = TOWNS if messages >= MANY else 1
    play = Play(senders, messages, towns, days, seed, now)
    usage = _all_towns(play, watch=watch)
    with transaction.atomic():
        surroundings.make(now=now, usage=usage, rng=_chances(play, town=towns))
    if messages < COUNTED_ANEW_FROM:
        rollups.roll()
    else:
        rollups.rebuild(watch=lambda done, total: watch(done, total, "events counted"))


def _chances(play: Play, *, town: int) -> Random:
    return Random(f"{play.seed} {town}")  # noqa: S311 - guards nothing


def _all_towns(play: Play, *, watch: Watch) -> Usage:
    """Store the mail of all towns, side by side where the database has several writers."""
    number = min(play.towns, processes.useful())
    if number > 1:
        return _side_by_side(play, number=number, watch=watch)
    stored = 0

    def tell(number: int) -> None:
        nonlocal stored
        stored += number
        watch(stored, play.messages, "messages")

    return _some_towns(play, range(play.towns), tell=tell)


def _side_by_side(play: Play, *, number: int, watch: Watch) -> Usage:
    """Store the mail of all towns in so many processes."""
    usage, counter = Usage(), processes.CONTEXT.Value("q", 0)
    with processes.pool(number, given=counter) as pool:
        jobs = [
            pool.submit(_in_process, play, range(first, play.towns, number))
            for first in range(number)
        ]
        while wait(jobs, timeout=LOOK_SECONDS).not_done:
            watch(counter.value, play.messages, "messages")
    for job in jobs:
        usage += job.result()
    watch(play.messages, play.messages, "messages")
    return usage


def _in_process(play: Play, towns: Sequence[int]) -> Usage:
    # A lot has a hundred thousand rows and no circles; looking for some takes a fifth of the time.
    gc.disable()
    return _some_towns(play, towns, tell=_tell_counter)


def _tell_counter(number: int) -> None:
    counter = processes.given()
    with counter.get_lock():
        counter.value += number


def _some_towns(play: Play, towns: Sequence[int], *, tell: Callable[[int], None]) -> Usage:
    """Store the mail of some towns, in turns, so that events are stored about when they happen."""
    usage = Usage()
    for lots in zip_longest(*(_lots(play, town=town, usage=usage) for town in towns)):
        for lot in lots:
            if lot is not None:
                store(lot)
                tell(len(lot.messages))
    return usage


def _lots(play: Play, *, town: int, usage: Usage) -> Iterator[Lot]:
    """Return the mail of a town as it can be stored."""
    rng, now = _chances(play, town=town), play.now
    number = play.messages // play.towns + (town < play.messages % play.towns)
    people, lot = People(max(number // MESSAGES_EACH, 1), town, play.towns), Lot()
    last = now - timedelta(minutes=1)
    for place, at in acceptances(PARTS, number=number, days=play.days, now=last, rng=rng):
        if PARTS[place].stream == Stream.BULK:
            hour = at.hour - at.hour % MAILING_HOURS
            at = at.replace(hour=hour, minute=0, second=0, microsecond=0)
            at = max(at, play.begin)
        age = (now - at) / (now - play.begin)
        sender = play.senders[place]
        live(sender, accepted_at=at, now=now, age=age, people=people, rng=rng, lot=lot)
        usage[PARTS[place], at.date()] += 1
        if len(lot.messages) == MESSAGES_AT_ONCE:
            yield lot
            lot = Lot()
    yield lot
