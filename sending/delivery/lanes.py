"""Carry messages over transports that wait: one thread for each connection of a route."""

from __future__ import annotations

import functools
import threading
import time
from uuid import UUID

from sending.delivery.loop import Loop
from sending.delivery.parcels import Desk, Parcel, Result, WaitingLine
from sending.errors import LeaseLost, TransportError
from sending.models import Route
from sending.routes import open_transport
from sending.transports import Receipt, Transport

MAX_IDLE_SECONDS = 30


class Question:
    """A thread's question whether it may send the body now; it waits for the answer."""

    def __init__(self, parcel: Parcel) -> None:
        self.parcel = parcel
        self._is_granted = False
        self._answered = threading.Event()

    def answer(self, *, is_granted: bool) -> None:
        """Let the thread go on, with the body or without."""
        self._is_granted = is_granted
        self._answered.set()

    def wait(self) -> bool:
        """Return the answer, once it is there."""
        self._answered.wait()
        return self._is_granted


class ThreadLanes:
    """The connections of a route to a Django e-mail backend: threads that share one queue.

    Threads start as they are needed, up to the route's number.
    """

    def __init__(self, route: Route, *, loop: Loop, desk: Desk) -> None:
        self.route = route
        self._loop = loop
        self._desk = desk
        self._waiting = WaitingLine()
        self._changed = threading.Condition()
        self._is_retired = False
        self._threads: list[threading.Thread] = []
        self._outstanding = 0

    def serves(self, route: Route) -> bool:
        """Tell whether the lanes were opened for the route as it is configured now."""
        return self.route.configuration() == route.configuration()

    def put(self, parcel: Parcel) -> None:
        """Queue a parcel for the next free connection."""
        self._outstanding += 1
        with self._changed:
            self._waiting.append(parcel)
            self._changed.notify()
        if len(self._threads) < min(self._outstanding, self.route.connections):
            lane = threading.Thread(
                target=self._run, name=f"lane-{self.route.name}-{len(self._threads)}", daemon=True
            )
            self._threads.append(lane)
            lane.start()

    def waiting_count(self) -> int:
        """Return how many parcels no connection has begun with."""
        return len(self._waiting)

    def waiting_keys(self) -> set[UUID]:
        """Return the keys of the parcels that no connection has begun with."""
        with self._changed:
            return self._waiting.keys()

    def take_back(self) -> list[Parcel]:
        """Return the parcels that no connection has begun with."""
        with self._changed:
            unstarted = self._waiting.take_all()
        self._outstanding -= len(unstarted)
        return unstarted

    def look_at_clock(self) -> None:
        """Do nothing: a backend has timeouts of its own."""

    def retire(self) -> None:
        """Let every connection close after the parcels that are queued already."""
        with self._changed:
            self._is_retired = True
            self._changed.notify_all()

    def close(self) -> None:
        """Retire, and wait for it; no parcel may be under way."""
        self.retire()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def is_finished(self) -> bool:
        """Tell whether nothing is open or under way any more."""
        return not any(thread.is_alive() for thread in self._threads)

    def _next_parcel(self, transport: Transport | None) -> Parcel | None:
        """Wait for a parcel, and hang up meanwhile when it takes long; None at the end."""
        with self._changed:
            if not self._changed.wait_for(self._has_something, timeout=MAX_IDLE_SECONDS):
                _hang_up(transport)
                self._changed.wait_for(self._has_something)
            return self._waiting.take() if self._waiting else None

    def _has_something(self) -> bool:
        return bool(self._waiting) or self._is_retired

    def _run(self) -> None:
        transport: Transport | None = None
        while (parcel := self._next_parcel(transport)) is not None:
            started_at, clock = parcel.stopwatch.now(), time.monotonic()
            question = Question(parcel)
            asked: list[bool] = []
            answer: Receipt | Exception
            try:
                transport = transport or open_transport(self.route)
                answer = transport.send(
                    parcel.outgoing, before_body=functools.partial(self._ask, question, asked)
                )
            except (TransportError, LeaseLost) as error:
                answer = error
            except Exception as error:  # a backend may raise anything; the lane must go on
                answer = error
                _hang_up(transport)
                transport = None
            duration_ms = round((time.monotonic() - clock) * 1000)
            result = Result(parcel, started_at, duration_ms, any(asked), answer)
            self._loop.post(functools.partial(self._bring, result))
        _hang_up(transport)

    def _ask(self, question: Question, asked: list[bool]) -> bool:
        """Ask the run, wait for its answer and remember it; called in the lane's thread."""
        self._loop.post(functools.partial(self._put_question, question))
        asked.append(question.wait())
        return asked[-1]

    def _put_question(self, question: Question) -> None:
        self._desk.requests.append(question)

    def _bring(self, result: Result) -> None:
        self._outstanding -= 1
        self._desk.results.append(result)


def _hang_up(transport: Transport | None) -> None:
    """Close the connection, if there is one."""
    if transport is not None:
        transport.close()
