"""Move messages from the queue to the lanes and their results into the ledger, many at a time."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from uuid import UUID

from django.conf import settings

from sending import ledger, suppressions
from sending.addresses import parse_address
from sending.delivery import dispatch, results
from sending.delivery.lanes import HandoffRequest, Parcel, Result, RouteLanes
from sending.models import Message, Route, Status

CLAIM_SIZE = 200
TURN_SIZE = 500
TURN_SECONDS = 0.5
SWEEP_LEASES_SECONDS = 5

Claim = tuple[UUID, int]


class Run:
    """The messages that this worker holds, and the lanes that carry them.

    All calls come from one thread, which is the only one that touches the database: each turn
    answers every lane that asks for its hand-off, and records every result, in a few statements.
    What could not be written because the database was away is kept, and written before anything
    else is done. A held message is known by its id and its claim: after a lapse this very worker
    may claim it anew while the older parcel is still on its way.
    """

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[HandoffRequest | Result] = queue.SimpleQueue()
        self._lanes: dict[int, RouteLanes] = {}
        self._held: dict[Claim, Parcel] = {}
        self._handed_off: set[Claim] = set()
        self._requests: list[HandoffRequest] = []
        self._results: list[Result] = []
        self._unstarted: list[Parcel] = []
        self._open_claims: set[int] = set()
        self._extended_at = time.monotonic()
        self._swept_at = float("-inf")

    def until_empty(self, *, stopping: threading.Event) -> int:
        """Deliver until nothing is due or `stopping` is set; return how many results there were.

        Raises what the database raises; calling again goes on where it was.
        """
        delivered = 0
        while not stopping.is_set():
            delivered += self._flush()
            self._sweep()
            if len(self._held) <= CLAIM_SIZE // 2:
                self._take_more()
            if not self._held and self._inbox.empty():
                break
            self._turn()
        return delivered

    def wind_down(self) -> None:
        """Give back what no connection has begun with, finish the rest, close the connections.

        Raises what the database raises; calling again goes on where it was.
        """
        for lanes in self._lanes.values():
            self._unstarted += lanes.take_back()
        self._flush()
        while self._held:
            self._turn()
            self._flush()
        for lanes in self._lanes.values():
            lanes.close()
        self._lanes.clear()

    def _sweep(self) -> None:
        """Free the messages of silent workers and end overdue ones, now and then, also when busy.

        It comes after the flush: what this worker has sent itself must not look abandoned.
        """
        if time.monotonic() - self._swept_at >= SWEEP_LEASES_SECONDS:
            ledger.reap()
            ledger.expire()
            self._swept_at = time.monotonic()

    def _take_more(self) -> None:
        """Claim due messages and give each to a lane, or record why it cannot go.

        The claim stays open until that is done: should anything raise meanwhile, the next flush
        gives back what is in no lane.
        """
        claim = ledger.new_claim()
        self._open_claims.add(claim)
        claimed = ledger.claim(limit=CLAIM_SIZE, claim=claim)
        if claimed:
            allowed = self._screen(claimed)
            refused = []
            for ready in dispatch.prepare(allowed):
                if isinstance(ready, ledger.Outcome):
                    refused.append(ready)
                else:
                    self._give_to_lane(*ready)
            ledger.record(refused)
        self._open_claims.discard(claim)

    def _screen(self, claimed: Sequence[Message]) -> list[Message]:
        """Return the messages that may go; record the others as suppressed."""
        keys = {message.id: parse_address(message.recipient).suppression_key for message in claimed}
        verdicts = suppressions.decide(set(keys.values()))
        ledger.record(
            [
                dispatch.ending(message, Status.SUPPRESSED, str(verdicts[keys[message.id]]))
                for message in claimed
                if keys[message.id] in verdicts
            ]
        )
        return [message for message in claimed if keys[message.id] not in verdicts]

    def _give_to_lane(self, draft: dispatch.Draft, route: Route) -> None:
        lanes = self._lanes_of(route)
        parcel = Parcel(draft.outgoing, draft.attempt_number, draft.policy, lanes)
        self._held[parcel.claim] = parcel
        lanes.put(parcel)

    def _lanes_of(self, route: Route) -> RouteLanes:
        lanes = self._lanes.get(route.pk)
        if lanes is not None and not lanes.serves(route):
            lanes.retire()
            lanes = None
        if lanes is None:
            lanes = self._lanes[route.pk] = RouteLanes(route, self._inbox)
        return lanes

    def _turn(self) -> None:
        """Wait for the lanes and collect all that they have."""
        try:
            self._sort(self._inbox.get(timeout=TURN_SECONDS))
            while len(self._results) < TURN_SIZE:
                self._sort(self._inbox.get_nowait())
        except queue.Empty:
            pass
        self._extend_leases()

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
        finished = self._record_results()
        if self._unstarted:
            ledger.release([parcel.claim for parcel in self._unstarted])
            self._forget(self._unstarted)
            self._unstarted = []
        for claim in list(self._open_claims):
            ledger.release_claim(claim, except_ids=[one[0] for one in self._held])
            self._open_claims.discard(claim)
        return finished

    def _answer_requests(self) -> None:
        routes = [request.parcel.route for request in self._requests]
        # The body and its answer may each take that long.
        patience = timedelta(seconds=2 * max(route.data_timeout_seconds for route in routes))
        granted = ledger.begin_handoff(
            [request.parcel.claim for request in self._requests], patience=patience
        )
        self._handed_off |= granted
        for request in self._requests:
            request.answer(is_granted=request.parcel.claim in granted)
        self._requests = []

    def _record_results(self) -> int:
        finished = self._results
        if finished:
            results.record(finished)
            self._results = []
            self._forget(result.parcel for result in finished)
            self._clear_lanes_without_connection(finished)
        return len(finished)

    def _clear_lanes_without_connection(self, finished: Sequence[Result]) -> None:
        """Defer what waits for a route that cannot be reached, so that it holds up no other."""
        for result in finished:
            if results.is_without_connection(result):
                waiting = result.parcel.lanes.take_back()
                ledger.record([results.deferred_with(result, parcel) for parcel in waiting])
                self._forget(waiting)

    def _extend_leases(self) -> None:
        """Keep hold of what waits for a free connection, thrice in the life of a lease."""
        now = time.monotonic()
        if now - self._extended_at >= settings.LEASE_SECONDS / 3:
            ledger.extend_leases([claim for claim in self._held if claim not in self._handed_off])
            self._extended_at = now

    def _forget(self, parcels: Iterable[Parcel]) -> None:
        for parcel in parcels:
            self._held.pop(parcel.claim, None)
            self._handed_off.discard(parcel.claim)
            parcel.lanes.returned()


def deliver_due() -> int:
    """Deliver everything that is due now and return how many tries had a result."""
    run = Run()
    delivered = run.until_empty(stopping=threading.Event())
    run.wind_down()
    return delivered
