"""Move messages from the queue to the lanes and their results into the ledger, many at a time."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from sending import ledger, suppressions
from sending.addresses import parse_address
from sending.delivery.assembly import assemble
from sending.delivery.lanes import HandoffRequest, Parcel, Result, RouteLanes
from sending.delivery.results import names_dead_address, outcome_of
from sending.errors import SendingError
from sending.ledger import Outcome
from sending.models import (
    AmbiguityPolicy,
    Message,
    Route,
    SenderDomain,
    SendingProfile,
    Status,
    Suppression,
    TemplateVersion,
)
from sending.routes import default_route, route_of

log = logging.getLogger(__name__)

CLAIM_SIZE = 200
TURN_SIZE = 500
TURN_SECONDS = 0.5
NO_ROUTE_DELAY = timedelta(minutes=1)


class Run:
    """The messages that this worker holds, and the lanes that carry them.

    All calls come from one thread, which is the only one that touches the database: each turn
    answers every lane that asks for its hand-off, and records every result, in a few statements.
    What could not be written because the database was away is kept and written first of all.
    """

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[HandoffRequest | Result] = queue.SimpleQueue()
        self._lanes: dict[int, RouteLanes] = {}
        self._held: dict[UUID, Parcel] = {}
        self._handed_off: set[UUID] = set()
        self._requests: list[HandoffRequest] = []
        self._results: list[Result] = []
        self._policies: dict[UUID, str] = {}
        self._extended_at = time.monotonic()

    def until_empty(self, *, stopping: threading.Event) -> int:
        """Deliver until nothing is due or `stopping` is set; return how many results there were.

        Raises what the database raises; calling again goes on where it was.
        """
        delivered = self._flush()
        while not stopping.is_set():
            if len(self._held) <= CLAIM_SIZE // 2:
                self._take_more()
            if not self._held:
                break
            delivered += self._turn()
        return delivered

    def wind_down(self) -> None:
        """Give back what no connection has begun with, finish the rest, close the connections."""
        unstarted = [parcel for lanes in self._lanes.values() for parcel in lanes.take_back()]
        ledger.release(self._claims_of(unstarted))
        for parcel in unstarted:
            self._forget(parcel)
        self._flush()
        while self._held:
            self._turn()
        for lanes in self._lanes.values():
            lanes.close()
        self._lanes.clear()

    def _take_more(self) -> None:
        claimed = ledger.claim(limit=CLAIM_SIZE)
        if not claimed:
            return
        allowed = self._screen(claimed)
        profiles = SendingProfile.objects.select_related("route").in_bulk(
            {message.api_key_id for message in allowed}
        )
        versions = TemplateVersion.objects.in_bulk({m.template_version_id for m in allowed})
        domains = {
            row.domain: row
            for row in SenderDomain.objects.filter(
                domain__in={_domain_of(message) for message in allowed}, is_active=True
            )
        }
        default = default_route()
        refused = []
        for message in allowed:
            message.template_version = versions[message.template_version_id]
            profile = profiles.get(message.api_key_id)
            route = (route_of(profile) if profile else None) or default
            refusal = self._dispatch(message, route, domains.get(_domain_of(message)))
            if refusal:
                refused.append(refusal)
            elif profile:
                self._policies[message.id] = profile.ambiguity_policy
        ledger.record(refused)

    def _screen(self, claimed: Sequence[Message]) -> list[Message]:
        """Return the messages that may go; record the others as suppressed."""
        keys = {message.id: parse_address(message.recipient).suppression_key for message in claimed}
        verdicts = suppressions.decide(set(keys.values()))
        if not verdicts:
            return list(claimed)
        ledger.record(
            [
                _ending(message, Status.SUPPRESSED, str(verdicts[keys[message.id]]))
                for message in claimed
                if keys[message.id] in verdicts
            ]
        )
        return [message for message in claimed if keys[message.id] not in verdicts]

    def _dispatch(
        self, message: Message, route: Route | None, domain: SenderDomain | None
    ) -> Outcome | None:
        """Give the message to a lane; return an outcome instead when it cannot go out."""
        if route is None:
            return _ending(
                message,
                Status.DEFERRED,
                "No route out is configured: add a default route in the dashboard.",
                delay=NO_ROUTE_DELAY,
            )
        try:
            outgoing = assemble(message, domain=domain)
        except (SendingError, ValueError) as error:  # ValueError: a header that cannot be written
            return _ending(message, Status.FAILED, f"The mail cannot be made: {error}")
        parcel = Parcel(outgoing, message.attempt_count, route)
        self._held[message.id] = parcel
        self._lanes_of(route).put(parcel)
        return None

    def _lanes_of(self, route: Route) -> RouteLanes:
        lanes = self._lanes.get(route.pk)
        if lanes is not None and not lanes.serves(route):
            lanes.retire()
            lanes = None
        if lanes is None:
            lanes = self._lanes[route.pk] = RouteLanes(route, self._inbox)
        return lanes

    def _turn(self) -> int:
        """Wait for the lanes, then write all they have in a few statements."""
        try:
            arrived = self._inbox.get(timeout=TURN_SECONDS)
        except queue.Empty:
            pass
        else:
            self._sort(arrived)
            while not self._inbox.empty() and len(self._results) < TURN_SIZE:
                self._sort(self._inbox.get())
        self._extend_leases()
        return self._flush()

    def _sort(self, arrived: HandoffRequest | Result) -> None:
        if isinstance(arrived, HandoffRequest):
            self._requests.append(arrived)
        else:
            self._results.append(arrived)

    def _flush(self) -> int:
        """Write what is to be written; what raises stays, to be written at the next call.

        The lanes that wait for their hand-off come first: they work while results are recorded.
        """
        if self._requests:
            self._answer_requests()
        if self._results:
            ledger.record([self._outcome(result) for result in self._results])
            self._suppress_dead_addresses()
        finished, self._results = self._results, []
        for result in finished:
            self._forget(result.parcel)
        return len(finished)

    def _answer_requests(self) -> None:
        parcels = [request.parcel for request in self._requests]
        patience = max(parcel.route.data_timeout_seconds for parcel in parcels)
        granted = ledger.begin_handoff(
            self._claims_of(parcels), patience=timedelta(seconds=patience)
        )
        self._handed_off |= granted
        for request in self._requests:
            request.answer(is_granted=request.parcel.outgoing.id in granted)
        self._requests = []

    def _outcome(self, result: Result) -> Outcome:
        policy = self._policies.get(result.parcel.outgoing.id, AmbiguityPolicy.RETRY)
        return outcome_of(result, policy=policy)

    def _suppress_dead_addresses(self) -> None:
        for result in self._results:
            if names_dead_address(result):
                outgoing = result.parcel.outgoing
                suppressions.suppress(
                    parse_address(outgoing.recipient).suppression_key,
                    reason=Suppression.Reason.HARD_BOUNCE,
                    now=timezone.now(),
                    source=Message(pk=outgoing.id),
                    note=str(getattr(result.answer, "reply", "")),
                )

    def _extend_leases(self) -> None:
        """Keep hold of what waits for a free connection, thrice in the life of a lease."""
        now = time.monotonic()
        if now - self._extended_at < settings.LEASE_SECONDS / 3:
            return
        waiting = [p for key, p in self._held.items() if key not in self._handed_off]
        ledger.extend_leases(self._claims_of(waiting))
        self._extended_at = now

    def _forget(self, parcel: Parcel) -> None:
        identity = parcel.outgoing.id
        self._held.pop(identity, None)
        self._policies.pop(identity, None)
        self._handed_off.discard(identity)

    @staticmethod
    def _claims_of(parcels: Iterable[Parcel]) -> list[tuple[UUID, int]]:
        return [(parcel.outgoing.id, parcel.outgoing.claim) for parcel in parcels]


def deliver_due() -> int:
    """Deliver everything that is due now and return how many tries had a result."""
    run = Run()
    sweep()
    delivered = run.until_empty(stopping=threading.Event())
    run.wind_down()
    return delivered


def sweep() -> None:
    """Free the messages of silent workers, and end those whose lifetime is over."""
    ledger.reap()
    ledger.expire()


def _domain_of(message: Message) -> str:
    return message.sender_address.rpartition("@")[2]


def _ending(
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
