"""Turn what a lane came back with into the outcome that the ledger records."""

from __future__ import annotations

import logging
import random
from datetime import timedelta

from sending.delivery.lanes import Result
from sending.errors import (
    ConfigurationError,
    PermanentError,
    Phase,
    Reply,
    TransientError,
    TransportError,
)
from sending.ledger import AttemptFacts, Outcome
from sending.models import AmbiguityPolicy, Status
from sending.replies import Kind, Verdict, classify, retry_delay_seconds
from sending.transports import Receipt

log = logging.getLogger(__name__)


def outcome_of(result: Result, *, policy: str) -> Outcome:
    """Return what the ledger shall record; `policy` decides about an answer that was lost."""
    answer = result.answer
    if isinstance(answer, Receipt):
        facts = _facts(result, Phase.DOT, answer.reply, transport_id=answer.transport_id)
        return _outcome(result, Status.SENT, str(answer.reply), facts)
    if not isinstance(answer, TransportError):
        log.error("A transport broke on %s", result.parcel.outgoing.id, exc_info=answer)
        answer = TransientError(f"internal error: {answer!r}", phase=Phase.CONNECT)
    return _outcome_of_error(result, answer, policy)


def names_dead_address(result: Result) -> bool:
    """Tell whether the next hop said that the address does not exist, so that it is suppressed."""
    answer = result.answer
    if not isinstance(answer, PermanentError):
        return False
    return classify(answer.reply, phase=answer.phase).suppress == "now"


def _outcome_of_error(result: Result, error: TransportError, policy: str) -> Outcome:
    reason = str(error.reply)
    if error.is_ambiguous and policy == AmbiguityPolicy.HOLD:
        facts = _facts(result, error.phase, error.reply, kind="ambiguous")
        return _outcome(result, Status.UNKNOWN, f"The answer was lost: {reason}", facts)
    verdict = _verdict(error)
    facts = _facts(result, error.phase, error.reply, kind=verdict.kind)
    status = Status(verdict.outcome)
    delay = None
    if status == Status.DEFERRED:
        delay = _delay(result, error, verdict.kind)
    return _outcome(result, status, reason, facts, delay=delay)


def _verdict(error: TransportError) -> Verdict:
    """Classify the reply; what our own driver decided without one is as it says."""
    verdict = classify(error.reply, phase=error.phase)
    if isinstance(error, (TransientError, ConfigurationError)) or error.is_ambiguous:
        kind = Kind.CONFIGURATION if isinstance(error, ConfigurationError) else verdict.kind
        if kind in (Kind.HARD, Kind.UNDETERMINED, Kind.CONTENT, Kind.DISABLED):
            kind = Kind.TRANSIENT
        return Verdict(kind=kind, outcome=Status.DEFERRED, suppress="", rule=verdict.rule)
    return verdict


def _delay(result: Result, error: TransportError, kind: Kind) -> timedelta:
    if error.retry_after_seconds is not None:
        return timedelta(seconds=error.retry_after_seconds)
    jitter = random.random()  # noqa: S311 - spreads retries, guards nothing
    seconds = retry_delay_seconds(result.parcel.attempt_number, kind=kind, jitter=jitter)
    return timedelta(seconds=seconds)


def _outcome(
    result: Result,
    status: Status,
    reason: str,
    facts: AttemptFacts,
    *,
    delay: timedelta | None = None,
) -> Outcome:
    return Outcome(
        message_id=result.parcel.outgoing.id,
        claim=result.parcel.outgoing.claim,
        attempt_number=result.parcel.attempt_number,
        status=status,
        reason=reason,
        delay=delay,
        attempt=facts,
    )


def _facts(
    result: Result, phase: Phase, reply: Reply, *, kind: str = "", transport_id: str = ""
) -> AttemptFacts:
    return AttemptFacts(
        route_id=result.parcel.route.pk,
        started_at=result.started_at,
        duration_ms=result.duration_ms,
        phase=phase,
        reply=reply,
        kind=kind,
        transport_id=transport_id,
    )
