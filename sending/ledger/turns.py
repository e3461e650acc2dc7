"""Let threads that write at the same time share one transaction, without a thread for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from django.db import Error, InterfaceError, OperationalError

T = TypeVar("T")
R = TypeVar("R")

MAX_TOGETHER = 100


class Turns(Generic[T, R]):
    """Give what several threads bring to `write` at once; each gets its own result or error.

    One thread writes for all that wait; what comes meanwhile waits for the next turn, which the
    first of the waiting takes. Nobody waits when nobody else writes. `write` must store all it
    is given or nothing, and return one result for each.
    """

    def __init__(self, write: Callable[[Sequence[T]], Sequence[R]]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._waiting: list[_Ticket[T, R]] = []
        self._is_writing = False

    def store(self, item: T) -> R:
        """Return the result of writing `item`, after it was written."""
        ticket: _Ticket[T, R] = _Ticket(item)
        with self._lock:
            self._waiting.append(ticket)
            must_wait, self._is_writing = self._is_writing, True
        if must_wait:
            ticket.turn.acquire()
        if not ticket.is_done:
            self._take_turn()
        return ticket.result()

    def _take_turn(self) -> None:
        with self._lock:
            tickets = self._waiting[:MAX_TOGETHER]
            del self._waiting[:MAX_TOGETHER]
        try:
            self._write_all(tickets)
        finally:
            self._hand_over(tickets)

    def _hand_over(self, tickets: Sequence[_Ticket[T, R]]) -> None:
        """Wake the next writer first, so that the database does not idle, then the served."""
        with self._lock:
            following = self._waiting[:1]
            self._is_writing = bool(following)
        for ticket in tickets:
            ticket.is_done = True
        for ticket in [*following, *tickets]:
            ticket.turn.release()

    def _write_all(self, tickets: Sequence[_Ticket[T, R]]) -> None:
        try:
            results = self._write([ticket.item for ticket in tickets])
        except Exception as error:  # raised again in the thread of each caller
            is_away = isinstance(error, (OperationalError, InterfaceError))
            if len(tickets) > 1 and not is_away:
                # One of them cannot be stored; the others must not suffer for it.
                for ticket in tickets:
                    self._write_all([ticket])
                return
            for ticket in tickets:
                ticket.error = error
        else:
            for ticket, result in zip(tickets, results, strict=True):
                ticket.results = [result]


class _Ticket(Generic[T, R]):
    """What one thread brought, and what it takes away."""

    def __init__(self, item: T) -> None:
        self.item = item
        self.is_done = False
        self.results: list[R] = []
        self.error: Exception | None = None
        self.turn = threading.Lock()
        self.turn.acquire()

    def result(self) -> R:
        """Return what `write` returned; raise its error, as one of this thread's own."""
        if self.results:
            return self.results[0]
        if self.error is None:
            raise InterfaceError("The thread that wrote for this one was ended.")
        if isinstance(self.error, Error):
            raise type(self.error)(*self.error.args) from self.error
        raise self.error
