"""Learn from the results of tries what routes can be used, and who may take another at once.

Another route is only taken after a failure that surely left nothing at the next hop: whatever is
ambiguous stays with the policy of the key (docs/decisions/0008-failover-between-routes.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sending import ledger, outages
from sending.delivery.parcels import Parcel, Result
from sending.errors import ConfigurationError, Phase, TransientError, TransportError
from sending.models import Route, SendingProfile
from sending.routes import Ways, bound_to_route
from sending.transports import Receipt

WITHOUT_CONNECTION = (Phase.CONNECT, Phase.GREETING, Phase.TLS, Phase.AUTH)
BEFORE_THE_DOT = (Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.BODY)
# Said nothing more, or that it closes the connection (RFC 5321 section 3.8).
HUNG_UP = (0, 421)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What results tell of their routes.

    `elsewhere`: the messages that another route can take. `is_route_resumed`: what waited for one
    is due now.
    """

    elsewhere: frozenset[UUID]
    is_route_resumed: bool


def learn(results: Sequence[Result]) -> Lesson:
    """Note which routes worked and which did not.

    Idempotent. Costs no statement while all routes work.
    """
    resumed = [_note_success(result) for result in results if _let_us_in(result)]
    failed = [result for result in results if _left_nothing(result)]
    for result in {(one.parcel.route.pk, type(one.answer)): one for one in failed}.values():
        _note_failure(result)
    return Lesson(with_another_way([result.parcel for result in failed]), any(resumed))


def with_another_way(parcels: Sequence[Parcel]) -> frozenset[UUID]:
    """Return the messages whose key has a route besides theirs that can be used now."""
    if not parcels:
        return frozenset()
    profiles = SendingProfile.objects.select_related("route").in_bulk(
        {parcel.key_id for parcel in parcels}
    )
    ways = Ways(profiles.values(), now=ledger.database_now())
    bound = bound_to_route([parcel.outgoing.id for parcel in parcels])
    return frozenset(
        parcel.outgoing.id
        for parcel in parcels
        if parcel.outgoing.id not in bound
        and ways.has_another(profiles.get(parcel.key_id), than=parcel.route.pk)
    )


def ends_route(error: TransportError) -> bool:
    """Tell whether no other message can pass this way now either."""
    return isinstance(error, ConfigurationError) or error.phase in WITHOUT_CONNECTION


def reason(route: Route, error: TransportError) -> str:
    """Return the words for the message: what its next hop said, and of which route, if that."""
    if error.is_ambiguous or not ends_route(error):
        return str(error.reply)
    if isinstance(error, ConfigurationError):
        return f"{outages.why_paused(route)}{error.reply}"
    return f"The route {route} cannot be used: {error.reply}"


def _left_nothing(result: Result) -> bool:
    """Tell whether the route failed the message, and surely before the next hop had it."""
    error = result.answer
    if not isinstance(error, TransportError) or error.is_ambiguous:
        return False
    hung_up = (
        isinstance(error, TransientError)
        and error.phase in BEFORE_THE_DOT
        and error.reply.code in HUNG_UP
    )
    return hung_up or ends_route(error)


def _let_us_in(result: Result) -> bool:
    error = result.answer
    if isinstance(error, TransportError):
        return not ends_route(error) and not _left_nothing(result)
    return isinstance(error, Receipt)


def _note_success(result: Result) -> bool:
    """Tell whether that ended a pause; what waited for the route is due then."""
    route = result.parcel.route
    is_resumed = outages.note_success(route, started_at=result.started_at)
    if is_resumed:
        ledger.hasten(reason_prefix=outages.why_paused(route))
    return is_resumed


def _note_failure(result: Result) -> None:
    route, error, now = result.parcel.route, result.answer, ledger.database_now()
    if isinstance(error, ConfigurationError):
        outages.pause(route, reason=str(error.reply), now=now)
    elif isinstance(error, TransportError):
        outages.mark_down(route, reason=str(error.reply), now=now)
