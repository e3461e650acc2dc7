"""Hold what the ledger is told, before it is written down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sending.errors import Phase, Reply
from sending.models import Status
from sending.models.event import TRANSITIONS

MAX_LAPSES = 5
MAY_BECOME_SENT = frozenset(
    Status(before) for before, afters in TRANSITIONS.items() if Status.SENT in afters
)


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


def require_edge(before: str, after: str) -> None:
    """Raise IllegalTransition unless `after` may follow `before`."""
    if after not in TRANSITIONS[before]:
        raise IllegalTransition(f"A message cannot go from {before or 'nothing'} to {after}.")
