"""Carry messages over connections that stay open: one thread for each connection of a route."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sending.errors import LeaseLost, TransportError
from sending.models import Route
from sending.outgoing import Outgoing
from sending.routes import open_transport
from sending.transports import Receipt, Transport

MAX_IDLE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Parcel:
    """One outgoing on its way through a lane; `policy` decides should its answer be lost."""

    outgoing: Outgoing
    attempt_number: int
    policy: str
    lanes: RouteLanes

    @property
    def claim(self) -> tuple[UUID, int]:
        """What the ledger knows it by: the message's id and the number of the claim."""
        return self.outgoing.id, self.outgoing.claim

    @property
    def route(self) -> Route:
        """The way that it takes."""
        return self.lanes.route


@dataclass(frozen=True, slots=True)
class Result:
    """What a lane came back with: `answer` is an acceptance, or why there is none.

    `is_handed_off`: the body may have gone out.
    """

    parcel: Parcel
    started_at: datetime
    duration_ms: int
    is_handed_off: bool
    answer: Receipt | TransportError | LeaseLost | Exception


class HandoffRequest:
    """A lane's question whether it may send the body now; the run answers many at once."""

    def __init__(self, parcel: Parcel) -> None:
        self.parcel = parcel
        self._is_granted = False
        self._answered = threading.Event()

    def answer(self, *, is_granted: bool) -> None:
        """Let the lane go on, with the body or without."""
        self._is_granted = is_granted
        self._answered.set()

    def wait(self) -> bool:
        """Return the answer, once it is there."""
        self._answered.wait()
        return self._is_granted


class Handoff:
    """The moment just before the body of one parcel, seen from its lane."""

    def __init__(self, parcel: Parcel, inbox: queue.SimpleQueue[HandoffRequest | Result]) -> None:
        self._parcel = parcel
        self._inbox = inbox
        self.is_granted = False

    def ask(self) -> bool:
        """Ask the run, wait for its answer and remember it."""
        request = HandoffRequest(self._parcel)
        self._inbox.put(request)
        self.is_granted = request.wait()
        return self.is_granted


class RouteLanes:
    """The open connections of one route: threads that share one queue of parcels.

    Requests and results go to `inbox`. Threads start as they are needed, up to the route's number.
    """

    def __init__(self, route: Route, inbox: queue.SimpleQueue[HandoffRequest | Result]) -> None:
        self.route = route
        self._inbox = inbox
        self._parcels: queue.SimpleQueue[Parcel | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._outstanding = 0

    def serves(self, route: Route) -> bool:
        """Tell whether the lanes were opened for the route as it is configured now."""
        return _configuration(self.route) == _configuration(route)

    def put(self, parcel: Parcel) -> None:
        """Queue a parcel for the next free connection."""
        self._outstanding += 1
        if len(self._threads) < min(self._outstanding, self.route.connections):
            lane = threading.Thread(
                target=self._run, name=f"lane-{self.route.name}-{len(self._threads)}", daemon=True
            )
            self._threads.append(lane)
            lane.start()
        self._parcels.put(parcel)

    def returned(self) -> None:
        """Note that a parcel is under way no more."""
        self._outstanding -= 1

    def take_back(self) -> list[Parcel]:
        """Return the parcels that no connection has begun with."""
        unstarted: list[Parcel] = []
        while True:
            try:
                parcel = self._parcels.get_nowait()
            except queue.Empty:
                return unstarted
            if parcel is not None:
                unstarted.append(parcel)

    def retire(self) -> None:
        """Let every connection close after the parcels that are queued already."""
        for _ in self._threads:
            self._parcels.put(None)

    def close(self) -> None:
        """Retire, and wait for it; no parcel may be under way."""
        self.retire()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _next_parcel(self, transport: Transport | None) -> Parcel | None:
        """Wait for a parcel; hang up meanwhile when it takes long."""
        try:
            return self._parcels.get(timeout=MAX_IDLE_SECONDS)
        except queue.Empty:
            _hang_up(transport)
            return self._parcels.get()

    def _run(self) -> None:
        transport: Transport | None = None
        while (parcel := self._next_parcel(transport)) is not None:
            started_at, clock = datetime.now(UTC), time.monotonic()
            handoff = Handoff(parcel, self._inbox)
            answer: Receipt | Exception
            try:
                transport = transport or open_transport(self.route)
                answer = transport.send(parcel.outgoing, before_body=handoff.ask)
            except (TransportError, LeaseLost) as error:
                answer = error
            except Exception as error:  # a backend may raise anything; the lane must go on
                answer = error
                _hang_up(transport)
                transport = None
            duration_ms = round((time.monotonic() - clock) * 1000)
            self._inbox.put(Result(parcel, started_at, duration_ms, handoff.is_granted, answer))
        _hang_up(transport)


def _hang_up(transport: Transport | None) -> None:
    """Close the connection, if there is one."""
    if transport is not None:
        transport.close()


def _configuration(route: Route) -> dict[str, object]:
    return {field.attname: getattr(route, field.attname) for field in route._meta.concrete_fields}
