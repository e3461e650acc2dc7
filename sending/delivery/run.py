"""Move messages from the queue to the lanes and their results into the ledger, many at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from uuid import UUID

from django.conf import settings

from sending import ledger, pacing, screening
from sending.delivery import dispatch, results
from sending.delivery.lanes import ThreadLanes
from sending.delivery.loop import Loop
from sending.delivery.parcels import Desk, Lanes, Parcel, Result, Stopwatch
from sending.delivery.smtp_lanes import SmtpLanes
from sending.models import AmbiguityPolicy, Message, Priority, Route, Status

CLAIM_SIZE = 400
# A route that is slower than the queue holds no more than about this many messages of a priority;
# what else is due for its keys stays in the queue, and the messages of other routes go on.
CROWD = {Priority.BATCH: CLAIM_SIZE // 2, Priority.SINGLE: 2 * CLAIM_SIZE}
CROWDED_SECONDS = 0.2
TURN_SECONDS = 0.25
SWEEP_LEASES_SECONDS = 5
SUSPECT_SECONDS = 1


class Run:
    """The messages that this worker holds, and the lanes that carry them.

    All is done by one thread, which alone touches the database and, but for Django's backends, the
    network: each turn moves what the sockets are ready for, answers every lane that asks for its
    hand-off, and records every result, in a few statements.
    What could not be written because the database was away is kept, and written before anything
    else is done. What is held is known by its parcel, not by its message: after a lapse this very
    worker may claim it anew while the older parcel is still on its way.
    """

    def __init__(self) -> None:
        self._loop = Loop()
        self._desk = Desk()
        self._lanes: dict[int, Lanes] = {}
        self._retired: list[Lanes] = []
        self._held: set[Parcel] = set()
        self._handed_off: set[Parcel] = set()
        self._unstarted: list[Parcel] = []
        self._shut_out: list[tuple[Result, list[Parcel]]] = []
        self._open_claims: set[int] = set()
        self._extended_at = time.monotonic()
        self._looked_at = time.monotonic()
        self._swept_at = float("-inf")
        self._claimed_at = float("-inf")
        self._vain_seconds = 0.0
        self._is_more_due = True
        self._has_suspects = False
        self._is_suspect_held = False
        self._was_crowded = False

    def look_soon(self) -> None:
        """Look for due messages now; for any thread."""
        self._loop.post(self._note_ring)

    def until_empty(self, *, stopping: threading.Event) -> int:
        """Deliver until nothing is due or `stopping` is set; return how many results there were.

        Raises what the database raises; calling again goes on where it was.
        """
        delivered = 0
        self._is_more_due = True
        while not stopping.is_set():
            delivered += self._flush()
            self._sweep()
            self._take_more()
            if not self._held and not self._is_more_due and not self._has_suspects:
                break
            self._turn(TURN_SECONDS if self._held else 0)
        return delivered

    def wait(self, seconds: float) -> None:
        """See to the open connections until somebody rings or the time is over."""
        until = time.monotonic() + seconds
        self._is_more_due = False
        while not self._is_more_due and (left := until - time.monotonic()) > 0:
            self._turn(min(left, TURN_SECONDS))

    def rest(self, seconds: float) -> None:
        """See to the open connections for a while without the database.

        What the servers answer meanwhile is known when the next leases are looked at.
        """
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._move(min(left, TURN_SECONDS))

    def wind_down(self) -> None:
        """Give back what no connection has begun with, finish the rest, close the connections.

        Raises what the database raises; calling again goes on where it was.
        """
        for lanes in self._all_lanes():
            self._unstarted += lanes.take_back()
        self._flush()
        while self._held:
            self._turn(TURN_SECONDS)
            self._unstarted += [
                parcel for lanes in self._all_lanes() for parcel in lanes.take_back()
            ]
            self._flush()
        for lanes in self._all_lanes():
            lanes.close()
        self._loop.turn(0)  # connections that came too late take their leave
        self._lanes.clear()
        self._retired.clear()
        self._loop.close()

    def _note_ring(self) -> None:
        self._is_more_due = True

    def _all_lanes(self) -> list[Lanes]:
        return [*self._lanes.values(), *self._retired]

    def _sweep(self) -> None:
        """Free the messages of silent workers and end overdue ones, now and then, also when busy.

        It comes after the flush: what this worker has sent itself must not look abandoned.
        """
        if time.monotonic() - self._swept_at >= SWEEP_LEASES_SECONDS:
            ledger.reap()
            ledger.expire()
            self._swept_at = time.monotonic()
            self._has_suspects = ledger.has_suspects()

    def _take_more(self) -> None:
        """Claim what is due, unless the lanes have enough to do."""
        if self._has_suspects and self._take_suspect():
            return
        if not self._is_time_to_claim(is_crowded=any(self._crowded())):
            return
        began = time.monotonic()
        claimed = self._take(limit=CLAIM_SIZE, passing_over=self._crowded_keys())
        self._claimed_at = time.monotonic()
        self._vain_seconds = 0.0 if claimed else self._claimed_at - began
        self._is_more_due = claimed == CLAIM_SIZE

    def _take_suspect(self) -> bool:
        """Claim one message that may have ended its workers; tell whether the others must wait.

        It is held by itself, so that it takes no other with it if it ends this worker too. For
        that nothing else is claimed for a moment after each sweep that found some; only for a
        moment, since a server that hangs must not keep everything waiting.
        """
        is_moment = time.monotonic() - self._swept_at < SUSPECT_SECONDS
        if self._held and (is_moment or self._is_suspect_held):
            return is_moment
        found = self._take(limit=1, suspects=True)
        self._is_suspect_held = self._has_suspects = bool(found)
        return self._has_suspects

    def _take(
        self,
        *,
        limit: int,
        passing_over: dict[Priority, set[UUID]] | None = None,
        suspects: bool = False,
    ) -> int:
        """Claim due messages and give each to a lane, or record why it cannot go; return how many.

        The claim stays open until that is done: should anything raise meanwhile, the next flush
        gives back what is in no lane.
        """
        claim = ledger.new_claim()
        self._open_claims.add(claim)
        claimed = ledger.claim(
            limit=limit, claim=claim, passing_over=passing_over, suspects=suspects
        )
        if claimed:
            allowed = self._screen(claimed)
            stopwatch = Stopwatch(ledger.database_now())
            refused = []
            for ready in dispatch.prepare(allowed):
                if isinstance(ready, ledger.Outcome):
                    refused.append(ready)
                else:
                    self._give_to_lane(*ready, stopwatch=stopwatch)
            ledger.record(refused)
        self._open_claims.discard(claim)
        return len(claimed)

    def _crowded(self) -> Iterator[tuple[Priority, Lanes]]:
        """Return the lanes in which enough is waiting for connections, for each priority."""
        for lanes in self._lanes.values():
            waiting = lanes.waiting_count()
            yield from ((priority, lanes) for priority, crowd in CROWD.items() if waiting >= crowd)

    def _crowded_keys(self) -> dict[Priority, set[UUID]]:
        """Return the keys of what waits there."""
        keys: dict[Priority, set[UUID]] = {}
        for priority, lanes in self._crowded():
            keys.setdefault(priority, set()).update(lanes.waiting_keys())
        return keys

    def _is_time_to_claim(self, *, is_crowded: bool) -> bool:
        """Tell whether to look: when something may be due, at the latest with every sweep.

        While keys are passed over, looking has to skip their messages: looking in vain may take a
        twentieth of the time then.
        """
        if self._was_crowded and not is_crowded:
            self._is_more_due = True
        self._was_crowded = is_crowded
        passed = time.monotonic() - self._claimed_at
        if is_crowded:
            return passed >= max(CROWDED_SECONDS, 20 * self._vain_seconds)
        return self._is_more_due or passed >= pacing.pause_seconds(settings.SWEEP_SECONDS)

    def _screen(self, claimed: Sequence[Message]) -> list[Message]:
        """Return the messages that may go; record the others as suppressed."""
        verdicts = screening.screen(claimed)
        if not verdicts:
            return list(claimed)
        ledger.record(
            [
                dispatch.ending(message, Status.SUPPRESSED, str(verdicts[message.id]))
                for message in claimed
                if message.id in verdicts
            ]
        )
        return [message for message in claimed if message.id not in verdicts]

    def _give_to_lane(self, draft: dispatch.Draft, route: Route, *, stopwatch: Stopwatch) -> None:
        lanes = self._lanes_of(route)
        parcel = Parcel(
            outgoing=draft.outgoing,
            key_id=draft.key_id,
            priority=draft.priority,
            attempt_number=draft.attempt_number,
            policy=draft.policy,
            lanes=lanes,
            stopwatch=stopwatch,
        )
        self._held.add(parcel)
        lanes.put(parcel)

    def _lanes_of(self, route: Route) -> Lanes:
        lanes = self._lanes.get(route.id)
        if lanes is not None and route is not lanes.route and not lanes.serves(route):
            lanes.retire()
            self._retired.append(lanes)
            lanes = None
        if lanes is not None:
            lanes.route = route  # configured alike: found at once by the others of this claim
        else:
            kind = SmtpLanes if route.kind == Route.Kind.SMTP else ThreadLanes
            lanes = self._lanes[route.id] = kind(route, loop=self._loop, desk=self._desk)
        return lanes

    def _turn(self, seconds: float) -> None:
        """Wait for the lanes, let them move, and keep hold of what waits."""
        self._move(seconds)
        self._extend_leases()

    def _move(self, seconds: float) -> None:
        self._loop.turn(seconds)
        now = time.monotonic()
        if now - self._looked_at >= TURN_SECONDS:
            self._looked_at = now
            for lanes in self._all_lanes():
                lanes.look_at_clock()
            self._retired = [lanes for lanes in self._retired if not lanes.is_finished()]

    def _flush(self) -> int:
        """Write what is to be written; what raises stays, to be written at the next call.

        The lanes that wait for their hand-off come first: they work while results are recorded.
        """
        if self._desk.requests:
            self._answer_requests()
        finished = self._record_results()
        self._record_shut_out()
        if self._unstarted:
            ledger.release([parcel.claim for parcel in self._unstarted])
            self._forget(self._unstarted)
            self._unstarted = []
        for claim in list(self._open_claims):
            ledger.release_claim(claim, except_ids=[one.outgoing.id for one in self._held])
            self._open_claims.discard(claim)
        return finished

    def _answer_requests(self) -> None:
        requests = self._desk.requests
        # The body and its answer may each take that long.
        patience = timedelta(
            seconds=2 * max(request.parcel.route.data_timeout_seconds for request in requests)
        )
        granted = ledger.begin_handoff(
            [request.parcel.claim for request in requests],
            patience=patience,
            must_last=any(one.parcel.policy == AmbiguityPolicy.HOLD for one in requests),
        )
        self._desk.requests = []
        for request in requests:
            is_granted = request.parcel.claim in granted
            if is_granted:
                self._handed_off.add(request.parcel)
            request.answer(is_granted=is_granted)

    def _record_results(self) -> int:
        finished = self._desk.results
        if finished:
            self._is_more_due |= results.record(finished)
            self._desk.results = []
            self._forget(result.parcel for result in finished)
            self._shut_out += [
                (result, result.parcel.lanes.take_back())
                for result in finished
                if results.is_without_connection(result)
            ]
        return len(finished)

    def _record_shut_out(self) -> None:
        """Defer what waits for a route that cannot be reached, so that it holds up no other."""
        while self._shut_out:
            failed, waiting = self._shut_out[-1]
            self._is_more_due |= results.record_waiting(waiting, failed=failed)
            self._forget(waiting)
            self._shut_out.pop()

    def _extend_leases(self) -> None:
        """Keep hold of what waits for a free connection, thrice in the life of a lease."""
        now = time.monotonic()
        if now - self._extended_at >= settings.LEASE_SECONDS / 3:
            ledger.extend_leases([parcel.claim for parcel in self._held - self._handed_off])
            self._extended_at = now

    def _forget(self, parcels: Iterable[Parcel]) -> None:
        for parcel in parcels:
            self._held.discard(parcel)
            self._handed_off.discard(parcel)


def deliver_due() -> int:
    """Deliver everything that is due now and return how many tries had a result."""
    run = Run()
    try:
        return run.until_empty(stopping=threading.Event())
    finally:
        run.wind_down()
