"""Make claimed messages ready for a lane, or say why they cannot go out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sending import caps
from sending.delivery import limits
from sending.delivery.assembly import assemble
from sending.errors import SendingError
from sending.ledger import Outcome, database_now
from sending.models import (
    AmbiguityPolicy,
    Message,
    Route,
    SenderDomain,
    SendingProfile,
    Status,
    TemplateVersion,
)
from sending.outgoing import Outgoing
from sending.routes import NoWay, Ways, bound_to_route, is_simulated, simulator_route

log = logging.getLogger(__name__)

DEFECT_DELAY = timedelta(minutes=5)
# To give a message what its own id names costs far less here than by assigning it.
_VERSION = Message._meta.get_field("template_version")


@dataclass(frozen=True, slots=True)
class Draft:
    """A finished mail, and what its sender wants to happen when its answer is lost."""

    outgoing: Outgoing
    key_id: UUID
    priority: int
    attempt_number: int
    policy: str


def prepare(messages: Sequence[Message]) -> Iterator[tuple[Draft, Route] | Outcome]:
    """Yield for each message its mail and its route, or the outcome of one that cannot go.

    What the messages share is read in five queries, and who has enough bulk mail in one where
    there is a cap. One message's failure is its own.
    """
    profiles = SendingProfile.objects.select_related("route").in_bulk(
        {message.api_key_id for message in messages}
    )
    versions = TemplateVersion.objects.in_bulk(
        {message.template_version_id for message in messages}
    )
    domains = {
        row.domain: row
        for row in SenderDomain.objects.filter(
            domain__in={_domain_of(message) for message in messages}, is_active=True
        )
    }
    over = caps.take_places(messages, profiles)
    if over:
        yield from (
            ending(one, Status.SUPPRESSED, str(over[one.id])) for one in messages if one.id in over
        )
        messages = [message for message in messages if message.id not in over]
    ready = []
    for message, route in _with_routes(messages, profiles):
        if isinstance(route, NoWay):
            yield ending(message, Status.DEFERRED, route.reason, delay=route.delay)
        else:
            ready.append((message, route))
    admitted, waiting = limits.admit(ready)
    yield from waiting
    for message, route in admitted:
        _VERSION.set_cached_value(message, versions.get(message.template_version_id))
        profile = profiles.get(message.api_key_id)
        policy = profile.ambiguity_policy if profile else AmbiguityPolicy.RETRY
        made = _make(message, domains.get(_domain_of(message)), policy)
        yield made if isinstance(made, Outcome) else (made, route)


def _with_routes(
    messages: Sequence[Message], profiles: Mapping[UUID, SendingProfile]
) -> Iterator[tuple[Message, Route | NoWay]]:
    ways = Ways(profiles.values(), now=database_now())
    tried = [message.id for message in messages if message.attempt_count > 1]
    bound = bound_to_route(tried) if tried and ways.have_choice() else {}
    simulator = None
    for message in messages:
        if is_simulated(message.recipient_domain):
            simulator = simulator or simulator_route()
            yield message, simulator
            continue
        profile = profiles.get(message.api_key_id)
        yield message, ways.choose(profile, bound_to=bound.get(message.id))


def _make(message: Message, domain: SenderDomain | None, policy: str) -> Draft | Outcome:
    try:
        outgoing = assemble(message, domain=domain)
    except (SendingError, ValueError) as error:  # ValueError: a header that cannot be written
        return ending(message, Status.FAILED, f"The mail cannot be made: {error}")
    except Exception as error:  # a defect, ours or a step's: the mail waits, and holds up no other
        log.exception("Message %s could not be made", message.id)
        reason = f"The mail could not be made because of a defect: {error!r}"
        return ending(message, Status.DEFERRED, reason, delay=DEFECT_DELAY)
    return Draft(outgoing, message.api_key_id, message.priority, message.attempt_count, policy)


def _domain_of(message: Message) -> str:
    return message.sender_address.rpartition("@")[2]


def ending(
    message: Message, status: Status, reason: str, *, delay: timedelta | None = None
) -> Outcome:
    """Return the outcome of a message that was not tried on the wire."""
    return Outcome(
        message_id=message.id,
        claim=message.claim or 0,
        attempt_number=message.attempt_count,
        status=status,
        reason=reason,
        delay=delay,
    )
