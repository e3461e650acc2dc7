"""Drive one open SMTP session from a loop that never waits.

Where the server offers PIPELINING, the envelope of the next message goes out behind the body of
the one before, in one write (RFC 2920 section 3.1): a message costs one round trip then.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from functools import lru_cache

from sending.errors import Reply
from sending.transports.base import read_reply
from sending.transports.smtp.session import Session
from sending.transports.smtp.transaction import Step, Transaction
from sending.transports.smtp.wire import ConnectionLost, Wire

# A server that takes longer to accept a message may keep the one behind it waiting for as long.
QUICK_SECONDS = 0.25


class Channel:
    """One connection with at most two messages on it: the current one, and one behind it.

    ``deadline`` is when patience with the server ends, by the monotonic clock; it means nothing
    while the channel is idle or waits for leave to send a body. A body has to leave as a whole
    before it, for the lease of the message ends too.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.wire: Wire = session.wire()
        self.wire.never_wait()
        self.current: Transaction | None = None
        self.waits_for_leave = False
        self._moved_at = 0.0
        self.is_quick = False
        self._behind: Transaction | None = None
        self._moved: list[Transaction] = []
        self._out = memoryview(b"")
        self._out_before_end_of_body: int | None = None
        self._body_left_at = 0.0

    @property
    def deadline(self) -> float:
        """When patience ends: counted from the last reply, or the begin of the last write."""
        relay = self.session.relay
        has_begun_body = self._out_before_end_of_body is not None or (
            self.current is not None and self.current.awaits_acceptance
        )
        seconds = relay.data_timeout_seconds if has_begun_body else relay.command_timeout_seconds
        return self._moved_at + seconds

    @property
    def is_idle(self) -> bool:
        """Whether no message is on the connection."""
        return self.current is None

    @property
    def is_pipelined(self) -> bool:
        """Whether a message may follow another one before that has its answer."""
        return "PIPELINING" in self.session.extensions

    @property
    def is_writing(self) -> bool:
        """Whether octets wait for the socket to take them."""
        return bool(self._out)

    def start(self, transaction: Transaction) -> list[Transaction]:
        """Begin with a message on an idle channel; returns as ``go_on``."""
        self.current = transaction
        self._guarded(self._write, transaction.begin())
        return self._take_moved()

    def send_body(self, behind: Transaction | None) -> list[Transaction]:
        """Send the body that waits for leave, and the envelope of the next message behind it."""
        self.waits_for_leave = False
        body = self._current().take_body()
        self._out_before_end_of_body = len(body)
        if behind is not None:
            self._behind = behind
            body += behind.begin()
        self._guarded(self._write, body)
        return self._take_moved()

    def withdraw(self) -> list[Transaction]:
        """End the message that waits for leave, and with it the connection."""
        self.waits_for_leave = False
        self._current().withdraw()
        self._next()
        return self._take_moved()

    def go_on(self, *, can_read: bool, can_write: bool) -> list[Transaction]:
        """Move octets; return each transaction that now waits for leave or has its answer."""
        if can_write:
            self._guarded(self._flush)
        if can_read and self.session.is_open:
            self._guarded(self._read)
            self._hear()
        return self._take_moved()

    def lose(self, error: ConnectionLost) -> list[Transaction]:
        """Give up the connection; return what was on it."""
        self._lose(error)
        return self._take_moved()

    def _take_moved(self) -> list[Transaction]:
        moved, self._moved = self._moved, []
        return moved

    def _lose(self, error: ConnectionLost) -> None:
        self.waits_for_leave = False
        while self.current is not None:
            self.current.lose(error)
            self._next()
        self.session.drop()

    def _current(self) -> Transaction:
        if self.current is None:
            raise RuntimeError("the channel is idle")
        return self.current

    def _guarded(self, move: Callable[..., None], *arguments: bytes) -> None:
        try:
            move(*arguments)
        except ConnectionLost as error:
            self._hear_last_words()
            self._lose(error)

    def _hear_last_words(self) -> None:
        """Read the reason that a server may have given before it closed."""
        with contextlib.suppress(ConnectionLost):
            if self.is_writing:
                self.wire.read_some()
        self._hear()

    def _read(self) -> None:
        if self.wire.read_some() and self.is_idle:
            self.session.drop()  # whatever it says unasked is a farewell

    def _write(self, octets: bytes) -> None:
        self._out = memoryview(octets) if not self._out else memoryview(bytes(self._out) + octets)
        self._moved_at = time.monotonic()
        self._flush()

    def _flush(self) -> None:
        while self._out:
            count = self.wire.write_some(self._out)
            if not count:
                return
            self._out = self._out[count:]
            self._count_body(count)

    def _count_body(self, count: int) -> None:
        """Notice when the last octet of the body has left."""
        if self._out_before_end_of_body is None:
            return
        self._out_before_end_of_body -= count
        if self._out_before_end_of_body <= 0:
            self._out_before_end_of_body = None
            self._moved_at = self._body_left_at = time.monotonic()
            self._current().body_left()

    def _hear(self) -> None:
        while self.current is not None and self.session.is_open:
            try:
                received = self.wire.next_reply()
            except ConnectionLost as error:
                self._lose(error)
                return
            if received is None:
                return
            self._hear_one(self.current, _read_reply(received[0], tuple(received[1])))

    def _hear_one(self, transaction: Transaction, reply: Reply) -> None:
        if transaction.awaits_acceptance:
            self.is_quick = time.monotonic() - self._body_left_at < QUICK_SECONDS
        step = transaction.hear(reply)
        if step is Step.NOTHING:
            self._next()
            return
        self._moved_at = time.monotonic()
        if step is Step.LEAVE:
            self.waits_for_leave = True
            self._moved.append(transaction)
        elif octets := transaction.to_write():
            self._guarded(self._write, octets)

    def _next(self) -> None:
        """Let the message behind follow the one that has its answer."""
        ended = self._current()
        self.current, self._behind = self._behind, None
        self._moved_at = time.monotonic()
        self.session.note_message()
        self._moved.append(ended)
        if not ended.is_session_good and self.session.is_open:
            self.session.drop()
            self._lose(ConnectionLost("the connection was closed after the one before"))


# A server says the same words for nearly every message; only its acceptance has a number in it.
@lru_cache(maxsize=1024)
def _read_reply(code: int, lines: tuple[str, ...]) -> Reply:
    return read_reply(code, lines)
