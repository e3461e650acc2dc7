"""Say what becomes of each message, along the edges of the state machine, as rows to be stored."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from random import Random
from typing import Any

from billionmail.demo import cast
from billionmail.demo.cast import Mailbox, Part
from billionmail.demo.history import MILLISECOND, Life, Lot, Sender
from billionmail.demo.hits import Reading, read
from sending.models import Priority, Status, Stream, Suppression

LIFETIME = timedelta(hours=24)
# Mail that waits comes due after everybody has forgotten the demonstration.
NEVER = timedelta(days=3650)
WAITING_SINCE = timedelta(hours=30)
GONE = "The recipient gets no mail."
STILL_WRITTEN_TO, STILL_WAITS = 0.2, 0.7
RETURNED_LATER = 0.3
MOST_IN_BATCH = 1_000
BETWEEN_BATCHES, BETWEEN_VARIANTS = timedelta(seconds=5), timedelta(seconds=1)


@dataclass(slots=True)
class People:
    """Recipients: the same number is the same person. `gone`: since when who gets no more mail.

    They live in one of several towns, and get mail by themselves: nobody lives in two.
    """

    number: int
    town: int = 0
    towns: int = 1
    gone: dict[int, datetime] = field(default_factory=dict)
    mailed: Counter[tuple[uuid.UUID, datetime]] = field(default_factory=Counter)

    def batch_in_mailing(self, part: Part, *, at: datetime) -> tuple[datetime, str]:
        """Return when the batch is accepted that the next mail of a mailing is in, and its variant.

        Each variant is sent in calls of its own, none of them endless.
        """
        at = at.replace(microsecond=0)
        number = self.mailed[part.id, at]
        self.mailed[part.id, at] += 1
        variants = part.variants or ("",)
        call, which = divmod(number, len(variants))
        wait = call // MOST_IN_BATCH * BETWEEN_BATCHES + which * BETWEEN_VARIANTS
        return at + wait, variants[which]

    def anybody(self, rng: Random, *, at: datetime) -> int:
        """Return somebody; some get far more mail than others, and few who said no any."""
        for _ in range(10):
            person = int(self.number * rng.random() ** 1.6) * self.towns + self.town
            if not self.is_gone(person, at=at) or rng.random() < STILL_WRITTEN_TO:
                break
        return person

    def is_gone(self, person: int, *, at: datetime) -> bool:
        """Tell whether mail to somebody is suppressed by then."""
        return person in self.gone and self.gone[person] <= at


def address_of(person: int) -> tuple[str, Mailbox]:
    """Return the address of a person, and where the mailbox is."""
    first = cast.FIRST_NAMES[person % len(cast.FIRST_NAMES)]
    rest = person // len(cast.FIRST_NAMES)
    last = cast.LAST_NAMES[rest % len(cast.LAST_NAMES)]
    number = rest // len(cast.LAST_NAMES)
    mailbox = cast.WHEEL[(person * 2_654_435_761 >> 8) % len(cast.WHEEL)]
    return f"{first}.{last}{number or ''}@{mailbox.domain}", mailbox


def live(
    sender: Sender, *, accepted_at: datetime, now: datetime, age: float, people: People,
    rng: Random, lot: Lot,
) -> None:  # fmt: skip
    """Let a message be accepted, sent and received, as far as that happens until `now`."""
    variant = ""
    if sender.part.stream == Stream.BULK:
        batch_at, variant = people.batch_in_mailing(sender.part, at=accepted_at)
        accepted_at = min(batch_at, now - MILLISECOND)
    person = people.anybody(rng, at=accepted_at)
    address, mailbox = address_of(person)
    life = Life(lot, sender, _id(accepted_at, rng), address, mailbox, accepted_at, accepted_at)
    life.variant = variant
    reading = Reading()
    life.becomes(Status.QUEUED, at=accepted_at)
    if people.is_gone(person, at=accepted_at):
        _begin(life, at=accepted_at + 40 * MILLISECOND)
        life.becomes(Status.SUPPRESSED, at=accepted_at + 50 * MILLISECOND, detail=GONE)
    elif _is_sent(life, now=now, rng=rng, people=people, person=person):
        reading = _received(life, person, age=age, now=now, rng=rng, people=people)
    lot.messages.append(_row(life, person, town=people.town, age=age, reading=reading))


def _id(at: datetime, rng: Random) -> str:
    """Return a UUID version 7 of that moment; see `sending.models.new_message_id`."""
    rest = rng.getrandbits(74)
    digits = f"{int(at.timestamp() * 1000):012x}"
    variant = 0x8000 | (rest >> 48 & 0x3FFF)
    return (
        f"{digits[:8]}-{digits[8:]}-{0x7000 | rest >> 62:04x}-{variant:04x}"
        f"-{rest & 0xFFFFFFFFFFFF:012x}"
    )


@lru_cache(maxsize=64)
def _batch_id(part_id: uuid.UUID, at: datetime, town: int) -> uuid.UUID:
    """Return the id of the batch that a part sends at a moment: the same for all of it."""
    drawn = uuid.uuid5(part_id, f"{at.isoformat()} {town}").int & ((1 << 76) - 1)
    return uuid.UUID(int=int(at.timestamp() * 1000) << 80 | 7 << 76 | drawn)


def _is_sent(life: Life, *, now: datetime, rng: Random, people: People, person: int) -> bool:
    """Let it be tried; return whether the next hop took it."""
    part, mailbox, luck = life.sender.part, life.mailbox, rng.random()
    slow = 40.0 if part.stream == Stream.BULK else 0.6
    started_at = life.accepted_at + timedelta(seconds=0.05 + rng.random() ** 3 * slow)
    if rng.random() < mailbox.defers:
        started_at = _deferred(life, at=started_at, now=now, rng=rng)
        if life.status == Status.DEFERRED and life.due_at is not None:
            return False
    _begin(life, at=started_at)
    ms = int(30 + rng.random() ** 2 * 900)
    if luck < part.hard:
        _refused_for_good(life, at=started_at, ms=ms, rng=rng, people=people, person=person)
        return False
    if luck < part.hard + mailbox.refuses_by_policy:
        life.tries(Status.REJECTED, rng.choice(cast.POLICY), at=started_at, ms=ms)
        return False
    life.handed_off_at = started_at + ms // 2 * MILLISECOND
    life.tries(Status.SENT, None, at=started_at, ms=ms)
    return True


def _begin(life: Life, *, at: datetime) -> None:
    life.attempts += 1
    life.becomes(Status.SENDING, at=at)


def _deferred(life: Life, *, at: datetime, now: datetime, rng: Random) -> datetime:
    """Let it be refused for now; return when it is tried again, unless it waits for ever."""
    _begin(life, at=at)
    life.tries(Status.DEFERRED, rng.choice(cast.LATER), at=at, ms=int(20 + rng.random() * 200))
    again = life.at + timedelta(seconds=60 + rng.random() * 900)
    if again > now or (now - at < WAITING_SINCE and rng.random() < STILL_WAITS):
        life.due_at = now + NEVER + timedelta(seconds=rng.random() * 3600)
        life.expires_at = life.due_at + LIFETIME
    return again


def _refused_for_good(
    life: Life, *, at: datetime, ms: int, rng: Random, people: People, person: int
) -> None:
    refusal = rng.choice(cast.HARD)
    life.tries(Status.BOUNCED, refusal, at=at, ms=ms)
    reason = Suppression.Reason.HARD_BOUNCE
    _suppress(life, people, person, at=life.at, reason=reason, note=refusal.words)


def _suppress(
    life: Life,
    people: People,
    person: int,
    *,
    at: datetime,
    reason: Suppression.Reason,
    note: str = "",
) -> None:
    """Order that somebody gets no more mail, for the first reason that there is."""
    if person not in people.gone:
        people.gone[person] = at
        life.lot.suppressions.append((life.address, reason.value, life.id, note, cast.MARK, at))


def _received(
    life: Life, person: int, *, age: float, now: datetime, rng: Random, people: People
) -> Reading:
    """Let the recipient have it: what is reported, who opens and clicks, who says no."""
    part = life.sender.part
    arrived_at = life.at + timedelta(seconds=1 + rng.random() * 15)
    if rng.random() < part.hard * RETURNED_LATER and arrived_at < now:
        _returned(life, person, at=arrived_at, rng=rng, people=people)
        return Reading()
    if life.sender.reports_delivery and arrived_at < now:
        life.becomes(Status.DELIVERED, at=arrived_at, key=f"demo:{life.id}")
    _, _, links = life.sender.version(age=age)
    reading = read(life, person, links=links, now=now, rng=rng)
    _says_no(life, person, now=now, rng=rng, people=people, rate=part.unsubscribed)
    complains_at = arrived_at + timedelta(seconds=600 + rng.random() * 40_000)
    if rng.random() < part.complained and complains_at < now:
        words = "Complaint (abuse) by the feedback loop of the mailbox provider"
        life.becomes(Status.COMPLAINED, at=complains_at, detail=words, key=f"fbl:{life.id}")
        reason = Suppression.Reason.COMPLAINT
        _suppress(life, people, person, at=complains_at, reason=reason, note=words)
    return reading


def _returned(life: Life, person: int, *, at: datetime, rng: Random, people: People) -> None:
    """Let it come back after it was taken, by a report."""
    refusal = rng.choice(cast.HARD)
    life.becomes(Status.BOUNCED, at=at, detail=refusal.words, key=f"dsn:{life.id}")
    told = (refusal.kind.value, refusal.enhanced, refusal.words, at)
    life.lot.bounces.append((life.address, life.id, *told))
    reason = Suppression.Reason.HARD_BOUNCE
    _suppress(life, people, person, at=at, reason=reason, note=refusal.words)


def _says_no(
    life: Life, person: int, *, now: datetime, rng: Random, people: People, rate: float
) -> None:
    at = life.at + timedelta(seconds=120 + rng.random() * 50_000)
    if rng.random() >= rate or at >= now:
        return
    method, label = rng.choice(
        [("one-click", "One click in the mail program (RFC 8058)"), ("page", "Button on the page")]
    )
    why = rng.choice(["", "", "too-many", "not-relevant", "never-asked"])
    life.tells("unsubscribed", at=at, detail=f"By {label}.")
    life.lot.unsubscribes.append((life.id, method, at, why if method == "page" else ""))
    _suppress(life, people, person, at=at, reason=Suppression.Reason.UNSUBSCRIBED)


def _row(life: Life, person: int, *, town: int, age: float, reading: Reading) -> tuple[Any, ...]:
    """Return the message as it stands in the end, in the order of `MESSAGE_COLUMNS`."""
    part = life.sender.part
    version_id, subject, _ = life.sender.version(age=age)
    is_bulk = part.stream == Stream.BULK
    name = cast.FIRST_NAMES[person % len(cast.FIRST_NAMES)].title()
    attribs = {"name": name, "number": str(10_000 + int(life.id[-8:], 16) % 90_000)}
    return (
        life.id, part.id, version_id, part.stream.value, life.address, life.mailbox.domain,
        part.sender, part.sender_name, "", subject, attribs, is_bulk, True, part.tracks_clicks,
        f"<{life.id}@{part.sender.partition('@')[2]}>",
        (Priority.BATCH if is_bulk else Priority.SINGLE).value,
        life.status, life.reason, life.accepted_at, life.at,
        life.expires_at or life.accepted_at + LIFETIME, life.due_at, life.attempts,
        _batch_id(part.id, life.accepted_at, town) if is_bulk else None, life.variant,
        [*part.tags, *([part.some_tag] if part.some_tag and person % 6 == 0 else [])],
        life.handed_off_at, reading.opened_at, reading.clicked_at, reading.any_opened_at,
        reading.any_clicked_at,
    )  # fmt: skip
