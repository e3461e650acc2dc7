"""Say who opens a mail and follows its links: people, the proxies before them, and scanners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from random import Random
from typing import Any

from billionmail.demo import cast
from billionmail.demo.history import Life
from tracking.agents import read_agent
from tracking.hits import CLICKED, OPENED
from tracking.visitors import RULESET, Label, classify

# Long after the delivery, as the rules that tell people from machines see it; and right after it.
LATER, AT_ONCE = 3600.0, 1.0
SCANNED = 0.035


@dataclass(slots=True)
class Reading:
    """When a message was opened and clicked first: by a person, and by whoever it was."""

    opened_at: datetime | None = None
    clicked_at: datetime | None = None
    any_opened_at: datetime | None = None
    any_clicked_at: datetime | None = None

    def note(self, kind: str, at: datetime, *, is_human: bool) -> None:
        """Keep a hit if it is the first of its kind."""
        for name in (kind, f"any_{kind}") if is_human else (f"any_{kind}",):
            first = getattr(self, f"{name}_at")
            if first is None or at < first:
                setattr(self, f"{name}_at", at)


@cache
def _judged(kind: str, user_agent: str, seconds: float) -> tuple[Any, ...]:
    """Return what our own rules say of a hit: label, whether human, reasons, program and so on."""
    verdict = classify(kind=kind, user_agent=user_agent, seconds_after_handoff=seconds)
    agent = read_agent(user_agent)
    found = (verdict.label.value, verdict.is_human, list(verdict.reasons), RULESET)
    return (*found, agent.client, agent.device, agent.system)


class Readers:
    """Those who look at one message: they leave their hits in its life, and what was first."""

    def __init__(self, life: Life, person: int, *, now: datetime, rng: Random) -> None:
        self.reading = Reading()
        self._life, self._person, self._now, self._rng = life, person, now, rng
        self._mailbox, self._since = life.mailbox, life.at

    def scan(self, links: Sequence[int]) -> None:
        """Let a scanner fetch everything at once, as some mailboxes always have it."""
        if self._mailbox.provider != "mimecast" and self._rng.random() >= SCANNED:
            return
        for place, link in enumerate((None, *links)):
            at = self._since + timedelta(seconds=0.4 + 0.2 * place)
            self._hit(at, cast.CHROME, link=link, seconds=AT_ONCE)

    def fetch_ahead(self) -> None:
        """Let a proxy fetch the pixel, whether anybody looks or not."""
        if self._mailbox.proxies:
            at = self._since + timedelta(seconds=30 + self._rng.random() * 5000)
            self._hit(at, cast.APPLE_PRIVACY)

    def open(self) -> datetime:
        """Let the person look, once or twice; return until when."""
        rng, person = self._rng, self._person
        at = self._since + timedelta(seconds=90 + 200_000 * rng.random() ** 5)
        reader = cast.READERS[person * 7919 % len(cast.READERS)]
        agent = cast.GMAIL if self._mailbox.provider == "gmail" else reader
        for _ in range(1 if rng.random() < 0.8 else 2):
            # Behind a proxy that fetches ahead, nobody sees that.
            if not self._mailbox.proxies:
                self._hit(at, agent)
            at += timedelta(seconds=200 + rng.random() * 9_000)
        return at

    def click(self, links: Sequence[int], *, at: datetime) -> None:
        """Let the person follow a link or two, mostly the first ones."""
        agent = cast.BROWSERS[self._person * 7919 % len(cast.BROWSERS)]
        for _ in range(1 if self._rng.random() < 0.75 else 2):
            self._hit(at, agent, link=links[int(len(links) * self._rng.random() ** 2)])
            at += timedelta(seconds=25 + self._rng.random() * 400)

    def _hit(
        self, at: datetime, agent: str, *, link: int | None = None, seconds: float = LATER
    ) -> None:
        """Write an open, or a click on a link, as our own rules see it."""
        if at >= self._now:
            return
        kind = OPENED if link is None else CLICKED
        lot, person = self._life.lot, self._person
        event = self._life.tells(kind, at=at, key=f"hit:demo:{len(lot.events)}")
        label, is_human, *rest = _judged(kind, agent, seconds)
        is_hidden = label == Label.PROXY
        country = "" if is_hidden else cast.COUNTRIES[person * 31 % len(cast.COUNTRIES)]
        network = cast.NETWORKS[person % len(cast.NETWORKS)]
        lot.visits.append(
            (event, self._life.id, kind, at, link, network, False, agent, "GET", True, "",
             label, is_human, *rest, country)
        )  # fmt: skip
        self.reading.note(kind, at, is_human=is_human)


def read(life: Life, person: int, *, links: Sequence[int], now: datetime, rng: Random) -> Reading:
    """Let the mail be scanned, fetched ahead, opened and clicked, as far as that is until `now`."""
    part = life.sender.part
    readers = Readers(life, person, now=now, rng=rng)
    tracked = links if part.tracks_clicks else ()
    readers.scan(tracked)
    readers.fetch_ahead()
    if rng.random() < part.opened * cast.EAGERNESS.get(life.variant, 1.0):
        at = readers.open()
        if tracked and rng.random() * part.opened < part.clicked:
            readers.click(tracked, at=at)
    return readers.reading
