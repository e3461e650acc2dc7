"""Hold the rows of made-up messages, and write the history of one as it happens."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from billionmail.demo.cast import Mailbox, Part, Refusal
from sending.ledger import MESSAGE_FIELDS
from sending.models import Status

FIRSTS = ("handed_off_at", "opened_at", "clicked_at", "any_opened_at", "any_clicked_at")
MESSAGE_COLUMNS = (*MESSAGE_FIELDS, *FIRSTS)
MILLISECOND = timedelta(milliseconds=1)

# Its place in a row of an event, until the row is stored.
Event = list[Any]


@dataclass(frozen=True, slots=True)
class Sender:
    """A part on the stage: what its messages point to. `versions`, `links`: of each version."""

    part: Part
    versions: tuple[tuple[int, str, tuple[int, ...]], ...]
    route_id: int
    reports_delivery: bool

    def version(self, *, age: float) -> tuple[int, str, tuple[int, ...]]:
        """Return id, subject and links of the version of then; `age`: 0 is now, 1 the beginning."""
        count = len(self.versions)
        return self.versions[min(int((1 - age) * count), count - 1)]


@dataclass(slots=True)
class Lot:
    """Rows that are stored together; an event is a list whose first place is its id."""

    messages: list[tuple[Any, ...]] = field(default_factory=list)
    attempts: list[tuple[Any, ...]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    visits: list[tuple[Any, ...]] = field(default_factory=list)
    unsubscribes: list[tuple[Any, ...]] = field(default_factory=list)
    suppressions: list[tuple[Any, ...]] = field(default_factory=list)
    bounces: list[tuple[Any, ...]] = field(default_factory=list)


@dataclass(slots=True)
class Life:
    """One message while it is lived; its history goes into the lot as it happens. `id`: as text."""

    lot: Lot
    sender: Sender
    id: str
    address: str
    mailbox: Mailbox
    accepted_at: datetime
    at: datetime
    status: str = ""
    reason: str = ""
    attempts: int = 0
    handed_off_at: datetime | None = None
    due_at: datetime | None = None
    variant: str = ""
    expires_at: datetime | None = None

    def becomes(self, status: Status, *, at: datetime, detail: str = "", key: str = "") -> None:
        """Move along an edge, with the event of it."""
        number = self.attempts if self.attempts and not key else None
        event = [0, self.id, status.value, self.status, status.value, at, number, detail, key]
        self.lot.events.append(event)
        self.status, self.at = status.value, at
        is_well = status in (Status.SENT, Status.DELIVERED)
        self.reason = "" if is_well else detail

    def tells(self, kind: str, *, at: datetime, detail: str = "", key: str = "") -> Event:
        """Write down what changes no status."""
        event = [0, self.id, kind, "", "", at, None, detail, key]
        self.lot.events.append(event)
        return event

    def tries(self, outcome: Status, refusal: Refusal | None, *, at: datetime, ms: int) -> None:
        """Write down a try on the wire and what came of it."""
        phase = "dot" if refusal is None else "rcpt"
        queue_id = self.id[-8:].upper()
        told = (250, "2.0.0", f"Ok: queued as {queue_id}") if refusal is None else (
            refusal.code, refusal.enhanced, refusal.text)  # fmt: skip
        kind = "" if refusal is None else str(refusal.kind)
        self.lot.attempts.append(
            (self.id, self.attempts, self.sender.route_id, at, ms, phase, outcome.value, kind,
             *told, queue_id if refusal is None else "")
        )  # fmt: skip
        detail = " ".join(map(str, told))
        self.becomes(outcome, at=at + ms * MILLISECOND, detail=detail)
