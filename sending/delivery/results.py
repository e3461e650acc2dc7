"""Turn what the lanes came back with into outcomes, and record them."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from django.db import DatabaseError, InterfaceError, InternalError, OperationalError
from django.utils import timezone

from sending import ledger, suppressions
from sending.addresses import parse_address
from sending.delivery.lanes import Parcel, Result
from sending.errors import (
    ConfigurationError,
    LeaseLost,
    PermanentError,
    Phase,
    Reply,
    TransientError,
    TransportError,
)
from sending.ledger import AttemptFacts, Outcome
from sending.models import AmbiguityPolicy, Message, Status, Suppression
from sending.replies import Kind, Verdict, classify, retry_delay_seconds
from sending.transports import Receipt

log = logging.getLogger(__name__)

# It says nothing against the results: InternalError is what a read-only database raises.
DATABASE_AWAY = (OperationalError, InterfaceError, InternalError)
WITHOUT_CONNECTION = (Phase.CONNECT, Phase.GREETING, Phase.TLS, Phase.AUTH)
MAX_DELAY_SECONDS = 6 * 60 * 60


def record(results: Sequence[Result]) -> None:
    """Write down what the lanes came back with, and suppress addresses that do not exist.

    Raises one of `DATABASE_AWAY` when nothing can be written now; nothing is lost then. A
    result that the database refuses for another reason does not hold up the others.
    """
    outcomes = [outcome for result in results if (outcome := outcome_of(result)) is not None]
    try:
        ledger.record(outcomes)
    except DATABASE_AWAY:
        raise
    except DatabaseError:
        log.exception("The ledger refused %s results; recording them one by one", len(outcomes))
        for outcome in outcomes:
            _record_alone(outcome)
    for result in results:
        if names_dead_address(result):
            _suppress(result)


def _record_alone(outcome: Outcome) -> None:
    """Record the outcome, without its attempt if that is what cannot be written."""
    for form in (outcome, replace(outcome, attempt=None)):
        try:
            ledger.record([form])
        except DATABASE_AWAY:
            raise
        except DatabaseError:
            log.exception("The outcome of %s cannot be written", outcome.message_id)
        else:
            return


def is_without_connection(result: Result) -> bool:
    """Tell whether the route itself could not be used, whatever the message."""
    return isinstance(result.answer, TransportError) and result.answer.phase in WITHOUT_CONNECTION


def deferred_with(result: Result, parcel: Parcel) -> Outcome:
    """Return the outcome of a parcel whose route just failed with another one."""
    failed = outcome_of(result)
    return Outcome(
        message_id=parcel.outgoing.id,
        claim=parcel.outgoing.claim,
        attempt_number=parcel.attempt_number,
        status=Status.DEFERRED,
        reason=f"The route {parcel.route} cannot be used: {failed.reason if failed else ''}",
        delay=_delay(parcel, TransientError("", phase=Phase.CONNECT), Kind.TRANSIENT),
    )


def outcome_of(result: Result) -> Outcome | None:
    """Return what the ledger shall record; None when the message belongs to somebody else."""
    answer = result.answer
    if isinstance(answer, LeaseLost):
        return None
    if isinstance(answer, Receipt):
        facts = _facts(result, Phase.DOT, answer.reply, transport_id=answer.transport_id)
        return _outcome(result, Status.SENT, str(answer.reply), facts)
    if not isinstance(answer, TransportError):
        log.error("A transport broke on %s", result.parcel.outgoing.id, exc_info=answer)
        answer = TransientError(
            f"internal error: {answer!r}",
            phase=Phase.DOT if result.is_handed_off else Phase.CONNECT,
            is_ambiguous=result.is_handed_off,
        )
    return _outcome_of_error(result, answer)


def names_dead_address(result: Result) -> bool:
    """Tell whether the next hop said that the address does not exist, so that it is suppressed."""
    answer = result.answer
    if not isinstance(answer, PermanentError):
        return False
    return classify(answer.reply, phase=answer.phase).suppress == "now"


def _suppress(result: Result) -> None:
    outgoing = result.parcel.outgoing
    suppressions.suppress(
        parse_address(outgoing.recipient).suppression_key,
        reason=Suppression.Reason.HARD_BOUNCE,
        now=timezone.now(),
        source=Message(pk=outgoing.id),
        note=str(getattr(result.answer, "reply", "")),
    )


def _outcome_of_error(result: Result, error: TransportError) -> Outcome:
    reason = str(error.reply)
    if error.is_ambiguous and result.parcel.policy == AmbiguityPolicy.HOLD:
        facts = _facts(result, error.phase, error.reply, kind="ambiguous")
        return _outcome(result, Status.UNKNOWN, f"The answer was lost: {reason}", facts)
    verdict = _verdict(error)
    facts = _facts(result, error.phase, error.reply, kind=verdict.kind)
    status = Status(verdict.outcome)
    delay = None
    if status == Status.DEFERRED:
        delay = _delay(result.parcel, error, verdict.kind)
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


def _delay(parcel: Parcel, error: TransportError, kind: Kind) -> timedelta:
    if error.retry_after_seconds is not None:
        return timedelta(seconds=min(error.retry_after_seconds, MAX_DELAY_SECONDS))
    jitter = random.random()  # noqa: S311 - spreads retries, guards nothing
    seconds = retry_delay_seconds(parcel.attempt_number, kind=kind, jitter=jitter)
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
