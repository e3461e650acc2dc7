"""Perform the demonstration: from the scene to the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, timedelta
from random import Random

from django.db import transaction

from billionmail.demo import surroundings
from billionmail.demo.cast import PARTS, Part
from billionmail.demo.history import Lot
from billionmail.demo.lives import People, live
from billionmail.demo.scene import set_scene
from billionmail.demo.traffic import acceptances
from billionmail.demo.writing import store
from sending.models import Stream
from stats import rollups

MESSAGES_AT_ONCE = 20_000
# Counting the whole log anew writes each count once; following it, once in each lot.
COUNTED_ANEW_FROM = 50_000
# A mailing to many is one call, some four times a day.
MAILING_HOURS = 6
# Everybody gets several messages.
MESSAGES_EACH = 6

# Told how many messages are stored, of how many.
Watch = Callable[[int, int], None]


def perform(*, messages: int, days: int, seed: int, now: datetime, watch: Watch) -> None:
    """Make up so many messages of the last days and everything around them, and count them.

    The same seed and `now` make the same mail. Should it end early, `remove` takes away what
    there is. Raises ValidationError where a name is taken.
    """
    rng = Random(seed)  # noqa: S311 - guards nothing
    now = now.replace(microsecond=0)
    begin = now - timedelta(days=days)
    with transaction.atomic():
        senders = set_scene(begin=begin, now=now)
    people, lot, stored = People(max(messages // MESSAGES_EACH, 1)), Lot(), 0
    usage: Counter[tuple[Part, date]] = Counter()
    last = now - timedelta(minutes=1)
    for place, at in acceptances(PARTS, number=messages, days=days, now=last, rng=rng):
        if PARTS[place].stream == Stream.BULK:
            at = max(at.replace(hour=at.hour - at.hour % MAILING_HOURS, minute=0, second=0), begin)
        age = (now - at) / (now - begin)
        live(senders[place], accepted_at=at, now=now, age=age, people=people, rng=rng, lot=lot)
        usage[PARTS[place], at.date()] += 1
        if len(lot.messages) == MESSAGES_AT_ONCE:
            stored += MESSAGES_AT_ONCE
            store(lot)
            watch(stored, messages)
            lot = Lot()
    store(lot)
    watch(messages, messages)
    with transaction.atomic():
        surroundings.make(now=now, usage=usage, rng=rng)
    if messages < COUNTED_ANEW_FROM:
        rollups.roll()
    else:
        rollups.rebuild(watch=lambda done, total: None)
