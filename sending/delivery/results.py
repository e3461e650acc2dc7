"""Turn what the lanes came back with into outcomes, and record them."""

from __future__ import annotations

import logging
import random
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from django.db import DatabaseError, InterfaceError, InternalError, OperationalError
from django.utils import timezone

from sending import blocks, bounces, ledger, suppressions
from sending.addresses import parse_address
from sending.delivery import failover, limits
from sending.delivery.parcels import Parcel, Result
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
from sending.models import AMBIGUOUS, AmbiguityPolicy, Message, Status
from sending.outgoing import Outgoing
from sending.replies import Kind, Verdict, classify, retry_delay_seconds
from sending.transports import Receipt

log = logging.getLogger(__name__)

# It says nothing against the results: InternalError is what a read-only database raises.
DATABASE_AWAY = (OperationalError, InterfaceError, InternalError)
MAX_DELAY_SECONDS = 6 * 60 * 60


def record(results: Sequence[Result]) -> bool:
    """Write down what the lanes came back with, and suppress addresses that do not exist.

    What is known of the routes is learned first: a message whose route could not be used comes
    due at once where its key has another, and nothing was sent. Returns whether anything did.

    Raises one of `DATABASE_AWAY` when nothing can be written now; nothing is lost then. A
    result that the database refuses for another reason does not hold up the others.
    """
    lesson = failover.learn(results)
    found = [
        (result, outcome)
        for result in results
        if (outcome := _outcome_or_defect(result, elsewhere=lesson.elsewhere)) is not None
    ]
    _write([outcome for result, outcome in found if not result.is_recorded])
    for result in results:
        result.is_recorded = True
    failed = [(result, outcome) for result, outcome in found if outcome.status != Status.SENT]
    for result, _ in failed:
        _suppress_if_dead(result)
    _note_blocks(failed)
    limits.heed([(result.parcel.outgoing.recipient, one.attempt) for result, one in failed])
    return bool(lesson.elsewhere) or lesson.is_route_resumed


def _write(outcomes: Sequence[Outcome]) -> None:
    try:
        ledger.record(outcomes)
    except DATABASE_AWAY:
        raise
    except DatabaseError:
        log.exception("The ledger refused %s results; recording them one by one", len(outcomes))
        for outcome in outcomes:
            _record_alone(outcome)


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
    return isinstance(result.answer, TransportError) and failover.ends_route(result.answer)


def record_waiting(waiting: Sequence[Parcel], *, failed: Result) -> bool:
    """Defer parcels that were to go by the route that just failed another; nothing was tried.

    Those whose key has a route besides come due at once. Returns whether one does.
    """
    if not waiting:
        return False
    elsewhere = failover.with_another_way(waiting)
    outcome = outcome_of(failed)
    reason = outcome.reason if outcome else ""
    ledger.record(
        [
            Outcome(
                message_id=parcel.outgoing.id,
                claim=parcel.outgoing.claim,
                attempt_number=parcel.attempt_number,
                status=Status.DEFERRED,
                reason=reason,
                delay=timedelta(0)
                if parcel.outgoing.id in elsewhere
                else _delay(parcel, TransientError("", phase=Phase.CONNECT), Kind.TRANSIENT),
            )
            for parcel in waiting
        ]
    )
    return bool(elsewhere)


def _outcome_or_defect(result: Result, *, elsewhere: Collection[UUID]) -> Outcome | None:
    """Return the outcome; a defect in finding it is that of the message, and of no other."""
    try:
        return outcome_of(result, elsewhere=elsewhere)
    except Exception as error:  # becomes the answer, and so the reason in the history
        return outcome_of(replace(result, answer=error))


def outcome_of(result: Result, *, elsewhere: Collection[UUID] = ()) -> Outcome | None:
    """Return what the ledger shall record; None when the message belongs to somebody else.

    `elsewhere`: the messages that another route takes at once.
    """
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
    return _outcome_of_error(result, answer, elsewhere=elsewhere)


def _suppress_if_dead(result: Result) -> None:
    """Suppress the address if what the next hop said, now or with what it said before, ends it.

    A defect in that must not have the results come back for ever.
    """
    error = result.answer
    if not isinstance(error, TransportError) or not _is_about_address(error):
        return
    try:
        _weigh(result.parcel.outgoing, error)
    except DATABASE_AWAY:
        raise
    except Exception:  # the result is written; counting it again and again would hold up others
        log.exception("The bounce of %s was not counted", result.parcel.outgoing.id)


def _weigh(outgoing: Outgoing, error: TransportError) -> None:
    verdict, now = classify(error.reply, phase=error.phase), timezone.now()
    if bounces.is_dead(outgoing.recipient, verdict=verdict, now=now):
        suppressions.suppress(
            parse_address(outgoing.recipient).suppression_key,
            reason=bounces.reason_for(verdict.kind),
            now=now,
            source=Message(pk=outgoing.id),
            note=str(error.reply),
        )


def _note_blocks(found: Sequence[tuple[Result, Outcome]]) -> None:
    """Remember who refused mail for the name of its sender; a defect in that is no result's."""
    refusals = [
        blocks.Refusal(
            sender_domain=result.parcel.outgoing.sender.address.rpartition("@")[2],
            recipient_domain=result.parcel.outgoing.recipient.rpartition("@")[2],
            reply=str(outcome.attempt.reply),
        )
        for result, outcome in found
        if outcome.status == Status.REJECTED
        and outcome.attempt is not None
        and outcome.attempt.kind == Kind.POLICY
    ]
    if not refusals:
        return
    try:
        blocks.note(refusals, now=timezone.now())
    except DATABASE_AWAY:
        raise
    except Exception:  # as in _suppress_if_dead
        log.exception("%s refusals by policy were not counted", len(refusals))


def _is_about_address(error: TransportError) -> bool:
    """Tell whether it may count against the address: refused for good, or a server's own 4xx."""
    if error.is_ambiguous:
        return False
    is_reply = isinstance(error, TransientError) and bool(error.reply.code)
    return is_reply or isinstance(error, PermanentError)


def _outcome_of_error(
    result: Result, error: TransportError, *, elsewhere: Collection[UUID]
) -> Outcome:
    reason = failover.reason(result.parcel.route, error)
    if error.is_ambiguous and result.parcel.policy == AmbiguityPolicy.HOLD:
        facts = _facts(result, error.phase, error.reply, kind=AMBIGUOUS)
        return _outcome(result, Status.UNKNOWN, f"The answer was lost: {reason}", facts)
    verdict = _verdict(error)
    kind = AMBIGUOUS if error.is_ambiguous else verdict.kind
    facts = _facts(result, error.phase, error.reply, kind=kind)
    status = Status(verdict.outcome)
    delay = None
    if status == Status.DEFERRED:
        has_another = result.parcel.outgoing.id in elsewhere
        delay = timedelta(0) if has_another else _delay(result.parcel, error, verdict.kind)
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
        route_id=result.parcel.route.id,
        started_at=result.started_at,
        duration_ms=result.duration_ms,
        phase=phase,
        reply=reply,
        kind=kind,
        transport_id=transport_id,
    )
