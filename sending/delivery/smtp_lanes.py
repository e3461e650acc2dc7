"""Carry messages over SMTP connections that the thread of the run drives by itself.

Opening a connection waits (for the name server, TLS, the log-in) and so does taking leave: both
happen in short-lived threads. Between the two, no thread is needed.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sending.delivery.loop import Loop
from sending.delivery.parcels import Desk, Parcel, Result, WaitingLine
from sending.models import Route
from sending.routes import smtp_transport
from sending.transports.smtp import (
    MAX_MESSAGES_PER_CONNECTION,
    Channel,
    ConnectionLost,
    Session,
    StaleConnection,
    Transaction,
    content_of,
)

log = logging.getLogger(__name__)

MAX_IDLE_SECONDS = 30
REOPEN_SECONDS = 5


@dataclass(slots=True, eq=False)
class Passage:
    """One parcel on one connection."""

    parcel: Parcel
    channel: Channel | None
    started_at: datetime
    clock: float
    is_handed_off: bool = False


class Question:
    """A connection's question whether it may send the body now."""

    def __init__(self, lanes: SmtpLanes, channel: Channel, passage: Passage) -> None:
        self.parcel = passage.parcel
        self._lanes = lanes
        self._channel = channel
        self._passage = passage

    def answer(self, *, is_granted: bool) -> None:
        """Send the body, or close the connection without."""
        self._lanes.go_ahead(self._channel, self._passage, is_granted=is_granted)


class SmtpLanes:
    """The connections of a route to one SMTP server; they open as they are needed."""

    def __init__(self, route: Route, *, loop: Loop, desk: Desk) -> None:
        self.route = route
        self._loop = loop
        self._desk = desk
        self._waiting = WaitingLine()
        self._passages: dict[Transaction, Passage] = {}
        self._channels: set[Channel] = set()
        self._idle: list[Channel] = []
        self._rested: set[Channel] = set()
        self._opening = 0
        self._was_shut_out = False
        self._no_opening_before = 0.0
        self._is_retired = False
        self._is_closed = False
        self._closing = threading.Lock()
        self._leaving: list[threading.Thread] = []

    def serves(self, route: Route) -> bool:
        """Tell whether the lanes were opened for the route as it is configured now."""
        return self.route.configuration() == route.configuration()

    def put(self, parcel: Parcel) -> None:
        """Queue a parcel for the next free connection."""
        self._waiting.append(parcel)
        self._spread()

    def waiting_count(self) -> int:
        """Return how many parcels no connection has begun with."""
        return len(self._waiting)

    def waiting_keys(self) -> set[UUID]:
        """Return the keys of the parcels that no connection has begun with."""
        return self._waiting.keys()

    def take_back(self) -> list[Parcel]:
        """Return the parcels that no connection has begun with."""
        return self._waiting.take_all()

    def look_at_clock(self) -> None:
        """Give up servers that have been silent for too long, and leave idle ones."""
        now = time.monotonic()
        for channel in list(self._channels):
            if channel in self._idle:
                if now - channel.session.used_at > MAX_IDLE_SECONDS:
                    self._idle.remove(channel)
                    self._leave(channel)
            elif not channel.waits_for_leave and now > channel.deadline:
                silent = ConnectionLost("the server was silent for too long", has_stalled=True)
                self._follow(channel, channel.lose(silent))
        self._spread()

    def retire(self) -> None:
        """Let every connection close after the parcels that are queued already."""
        self._is_retired = True
        while self._idle:
            self._leave(self._idle.pop())

    def close(self) -> None:
        """Retire, and wait for the connections to close; no parcel may be under way."""
        self.retire()
        with self._closing:
            self._is_closed = True
        for thread in self._leaving:
            thread.join()

    def is_finished(self) -> bool:
        """Tell whether nothing is open or under way any more."""
        return not (self._channels or self._opening or self._waiting)

    def go_ahead(self, channel: Channel, passage: Passage, *, is_granted: bool) -> None:
        """Send the body that a channel asked about, or take it back."""
        if not channel.waits_for_leave:
            return  # the connection was lost meanwhile, and its message has its answer
        if not is_granted:
            self._follow(channel, channel.withdraw())
            return
        passage.is_handed_off = True
        behind = self._transaction_for(channel) if self._may_follow(channel) else None
        self._follow(channel, channel.send_body(behind))

    def _may_follow(self, channel: Channel) -> bool:
        """Tell whether a message is better off behind this one than in the queue."""
        return (
            channel.is_quick
            and channel.is_pipelined
            and channel.session.messages + 2 <= MAX_MESSAGES_PER_CONNECTION
            and not self._opening
            and len(self._channels) >= self.route.connections
        )

    def _start(self, channel: Channel) -> None:
        """Begin with the next parcel on an idle channel, or let it idle."""
        transaction = self._transaction_for(channel)
        if transaction is not None:
            self._follow(channel, channel.start(transaction))
        elif self._is_retired:
            self._leave(channel)
        else:
            self._idle.append(channel)
            self._rested.add(channel)
            self._watch(channel)

    def _transaction_for(self, channel: Channel) -> Transaction | None:
        """Return the next parcel's transaction; bring back those that this server cannot take."""
        while self._waiting:
            parcel = self._waiting.take()
            passage = Passage(parcel, channel, parcel.stopwatch.now(), time.monotonic())
            try:
                transaction = Transaction(
                    parcel.outgoing,
                    content=content_of(parcel.outgoing),
                    extensions=channel.session.extensions,
                    next_hop=str(channel.session.relay),
                )
            except Exception as error:  # a defect, too, is the answer to this parcel alone
                self._bring(passage, error)
                continue
            self._passages[transaction] = passage
            return transaction
        return None

    def _follow(self, channel: Channel, moved: Iterable[Transaction]) -> None:
        """Ask for what waits for leave, bring back what has ended, and see to the channel."""
        try:
            for transaction in moved:
                if transaction.answer is None:
                    question = Question(self, channel, self._passages[transaction])
                    self._desk.requests.append(question)
                else:
                    self._end(channel, transaction)
            self._settle(channel)
        except Exception as error:  # a defect must neither hold a parcel nor stop the others
            log.exception("A connection of the route %s met a defect", self.route)
            self._abandon(channel, error)

    def _abandon(self, channel: Channel, error: Exception) -> None:
        """Drop a channel, and bring back whatever is on it."""
        channel.waits_for_leave = False
        channel.session.drop()
        self._forget(channel)
        for transaction, passage in list(self._passages.items()):
            if passage.channel is channel:
                del self._passages[transaction]
                self._bring(passage, transaction.answer or error)

    def _end(self, channel: Channel, transaction: Transaction) -> None:
        passage = self._passages.pop(transaction)
        answer = transaction.answer
        was_kept = channel.session.messages > 1 or channel in self._rested
        if isinstance(answer, StaleConnection) and was_kept:
            # The server had said nothing about it, so a new connection cannot make a second copy.
            self._waiting.put_back(passage.parcel)
        elif answer is not None:
            self._bring(passage, answer)

    def _bring(self, passage: Passage, answer: object) -> None:
        duration_ms = round((time.monotonic() - passage.clock) * 1000)
        self._desk.results.append(
            Result(
                passage.parcel,
                passage.started_at,
                duration_ms,
                passage.is_handed_off,
                answer,  # type: ignore[arg-type]
            )
        )

    def _settle(self, channel: Channel) -> None:
        """Watch a channel, let it go, or give it the next parcel, as its state asks for."""
        if not channel.session.is_open:
            self._forget(channel)
            self._spread()
        elif not channel.is_idle:
            self._watch(channel)
        elif channel.session.messages >= MAX_MESSAGES_PER_CONNECTION:
            self._leave(channel)
            self._spread()
        elif channel not in self._idle:
            self._start(channel)

    def _watch(self, channel: Channel) -> None:
        self._loop.watch(
            channel.wire,
            functools.partial(self._go_on, channel),
            is_writing=channel.is_writing,
        )

    def _go_on(self, channel: Channel, can_read: bool, can_write: bool) -> None:
        self._follow(channel, channel.go_on(can_read=can_read, can_write=can_write))

    def _leave(self, channel: Channel) -> None:
        """Say goodbye in a thread of its own, for the server may take its time."""
        self._forget(channel)
        thread = threading.Thread(target=channel.session.quit, name="goodbye", daemon=True)
        self._leaving = [one for one in self._leaving if one.is_alive()]
        self._leaving.append(thread)
        thread.start()

    def _forget(self, channel: Channel) -> None:
        self._loop.forget(channel.wire)
        self._channels.discard(channel)
        self._rested.discard(channel)
        if channel in self._idle:
            self._idle.remove(channel)

    def _spread(self) -> None:
        """Give what waits to idle connections, and open one for each other, as many as allowed.

        After a failure those under way are awaited, and those that are open go on for a while.
        """
        while self._waiting and self._idle:
            self._start(self._idle.pop())
        if self._was_shut_out and (
            self._opening or (self._channels and time.monotonic() < self._no_opening_before)
        ):
            return
        room = self.route.connections - len(self._channels) - self._opening
        for _ in range(min(room, len(self._waiting) - self._opening)):
            threading.Thread(target=self._open, name=f"open-{self.route.name}", daemon=True).start()
            self._opening += 1

    def _open(self) -> None:
        """Open a connection, in a thread of its own."""
        clock = time.monotonic()
        try:
            session = smtp_transport(self.route).open_session()
        except Exception as error:  # whatever it is, the parcel that waits for it must know
            self._loop.post(functools.partial(self._not_opened, error, clock))
            return
        with self._closing:
            if not self._is_closed:
                self._loop.post(functools.partial(self._opened, session))
                return
        session.quit()  # nobody turns the loop any more

    def _opened(self, session: Session) -> None:
        self._opening -= 1
        self._was_shut_out = False
        channel = Channel(session)
        self._channels.add(channel)
        self._start(channel)

    def _not_opened(self, error: Exception, clock: float) -> None:
        """Let one parcel tell of it, unless other connections carry on without this one."""
        self._opening -= 1
        self._was_shut_out = True
        self._no_opening_before = time.monotonic() + REOPEN_SECONDS
        if self._channels or self._opening or not self._waiting:
            return
        parcel = self._waiting.take()
        took = timedelta(seconds=time.monotonic() - clock)
        self._bring(Passage(parcel, None, parcel.stopwatch.now() - took, clock), error)
