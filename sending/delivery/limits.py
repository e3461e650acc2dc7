"""Ask the limits before a message is made, and heed those who ask us to slow down."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.db import DatabaseError
from django.utils import timezone

from sending import pacing
from sending.delivery import exchanges
from sending.errors import Phase
from sending.ledger import AttemptFacts, Outcome
from sending.models import Message, Route, Status
from sending.replies import Kind

log = logging.getLogger(__name__)

SERVICE_NOT_AVAILABLE = 421
# So far it is our own next hop that speaks, not the recipient's provider.
ABOUT_THE_ROUTE = (Phase.CONNECT, Phase.GREETING, Phase.TLS, Phase.AUTH)

Ready = tuple[Message, Route]


def admit(ready: Sequence[Ready]) -> tuple[list[Ready], list[Outcome]]:
    """Return what may go now, and for each of the others the outcome that lets it wait.

    Once for all messages of a claim: it costs one round trip to Redis if anything limits them.
    """
    wants = [
        pacing.Want(
            key_id=message.api_key_id,
            route_id=route.id,
            sender_domain=message.sender_address.rpartition("@")[2],
            recipient_domain=message.recipient_domain,
            is_returning=message.is_limited,
        )
        for message, route in ready
    ]
    answers = pacing.admit(wants, now=timezone.now())
    exchanges.look_up_soon()
    admitted = [one for one, answer in zip(ready, answers, strict=True) if answer is None]
    waiting = [
        _waiting(one[0], answer)
        for one, answer in zip(ready, answers, strict=True)
        if answer is not None
    ]
    return admitted, waiting


def heed(tries: Sequence[tuple[str, AttemptFacts | None]]) -> None:
    """Slow down for whoever asked for it in a reply; the address is the recipient's.

    Raises nothing that the database can cause: who is not heeded now asks again.
    """
    for recipient, facts in tries:
        if facts is not None and _asks_to_slow_down(facts):
            try:
                _slow_down(recipient, facts)
            except DatabaseError as error:
                log.warning("The slow-down after %s was not stored: %s", facts.reply, error)


def _slow_down(recipient: str, facts: AttemptFacts) -> None:
    is_about_route = facts.phase in ABOUT_THE_ROUTE
    slowed = pacing.slow_down(
        recipient_domain="" if is_about_route else recipient.rpartition("@")[2],
        route_id=facts.route_id if is_about_route else None,
        reply=str(facts.reply),
        now=timezone.now(),
    )
    if slowed is not None:
        log.warning(
            "%s asked to slow down (%s): %.3g messages a second for now.",
            slowed,
            facts.reply,
            slowed.per_second,
        )


def _asks_to_slow_down(facts: AttemptFacts) -> bool:
    return facts.kind == Kind.THROTTLE or facts.reply.code == SERVICE_NOT_AVAILABLE


def _waiting(message: Message, wait: pacing.Wait) -> Outcome:
    return Outcome(
        message_id=message.id,
        claim=message.claim or 0,
        attempt_number=message.attempt_count,
        status=Status.DEFERRED,
        reason=wait.reason,
        delay=wait.delay,
        is_try=False,
    )
