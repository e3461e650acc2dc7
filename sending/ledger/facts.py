"""Hold what the ledger is told, before it is written down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from anymail.signals import EventType

from sending.errors import Phase, Reply
from sending.models import Status
from sending.models.event import RANKED, TRANSITIONS

MAX_LAPSES = 5
MAY_BECOME_SENT = frozenset(
    Status(before) for before, afters in TRANSITIONS.items() if Status.SENT in afters
)
# The closed vocabulary in which everything is told that others did with a message.
KINDS = frozenset(word for name, word in vars(EventType).items() if name.isupper())


class IllegalTransition(Exception):
    """A status was asked to move along an edge that the state machine does not have."""


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """What one try on the wire was like."""

    route_id: int
    started_at: datetime
    duration_ms: int
    phase: Phase
    reply: Reply
    kind: str = ""
    transport_id: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one claimed message.

    `delay`: how long a deferred message waits. `attempt`: None when nothing was tried on the wire.
    `is_try` False: a limit of ours let it wait. That counts neither as a try nor into its lifetime.
    """

    message_id: UUID
    claim: int
    attempt_number: int
    status: Status
    reason: str = ""
    delay: timedelta | None = None
    attempt: AttemptFacts | None = None
    is_try: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that happened to a message elsewhere, as it was told to us.

    `kind` is a word of anymail's event vocabulary. `key` is the fact's natural key: the same fact
    of the same message and kind has the same one however often it is told; empty for a fact that
    is told once only. `status`: what the message becomes unless something of a higher rank is
    known (`sending.models.event.RANKED`); None for what changes no status.
    """

    message_id: UUID
    kind: str
    occurred_at: datetime
    key: str
    status: Status | None = None
    detail: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is not a kind of event; these are: {sorted(KINDS)}.")
        if self.status is not None and self.status not in RANKED:
            raise IllegalTransition(f"No report can make a message {self.status}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstHits:
    """When a message was opened and clicked first: by a person, and by whoever it was."""

    opened_at: datetime | None = None
    clicked_at: datetime | None = None
    any_opened_at: datetime | None = None
    any_clicked_at: datetime | None = None


def require_edge(before: str, after: str) -> None:
    """Raise IllegalTransition unless `after` may follow `before`."""
    if after not in TRANSITIONS[before]:
        raise IllegalTransition(f"A message cannot go from {before or 'nothing'} to {after}.")
