"""Wait for sockets, for other threads and for the clock in one place."""

from __future__ import annotations

import contextlib
import logging
import queue
import selectors
import socket
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE


class HasDescriptor(Protocol):
    """Something that a selector can watch."""

    def fileno(self) -> int:
        """Return the descriptor."""


OnReady = Callable[[bool, bool], None]


class Loop:
    """Call back when a watched socket is ready: with whether it can be read, and written.

    Everything is for the thread that turns the loop, except `post`. What a call raises is logged
    and ends nothing else.
    """

    def __init__(self) -> None:
        # Not epoll: it would go on telling of a closed socket that a forked child has a copy of.
        self._selector = selectors.PollSelector()
        self._posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._bell, self._ringer = socket.socketpair()
        self._bell.setblocking(False)
        self._ringer.setblocking(False)
        self._selector.register(self._bell, READ, None)
        self._masks: dict[HasDescriptor, int] = {}

    def post(self, call: Callable[[], None]) -> None:
        """Have `call` made by the loop's thread, soon; for any thread. Does nothing once closed."""
        self._posted.put(call)
        with contextlib.suppress(OSError):  # full: it wakes up anyway; or closed
            self._ringer.send(b"\0")

    def watch(self, wire: HasDescriptor, on_ready: OnReady, *, is_writing: bool) -> None:
        """Call `on_ready` when the wire can be read or, if `is_writing`, written."""
        mask = READ | WRITE if is_writing else READ
        known = self._masks.get(wire)
        if known == mask:
            return
        if known is None:
            self._selector.register(wire, mask, on_ready)
        else:
            self._selector.modify(wire, mask, on_ready)
        self._masks[wire] = mask

    def forget(self, wire: HasDescriptor) -> None:
        """Watch no longer; also for one that was closed meanwhile."""
        if self._masks.pop(wire, None) is not None:
            self._selector.unregister(wire)

    def turn(self, seconds: float) -> bool:
        """Wait up to `seconds` for something to do, and do it; return whether there was any."""
        ready = self._selector.select(seconds)
        for key, mask in ready:
            if key.data is None:
                self._make_posted_calls()
            elif key.fileobj in self._masks:  # an earlier call may have forgotten it
                _guarded(key.data, bool(mask & READ), bool(mask & WRITE))
        return bool(ready)

    def close(self) -> None:
        """Free the descriptors; nothing may be watched any more."""
        self._selector.close()
        self._bell.close()
        self._ringer.close()

    def _make_posted_calls(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._bell.recv(4096)
        with contextlib.suppress(queue.Empty):
            while True:
                _guarded(self._posted.get_nowait())


def _guarded(call: Callable[..., None], *arguments: bool) -> None:
    try:
        call(*arguments)
    except Exception:  # a defect in one call must not keep the others of the turn from theirs
        log.exception("A call of the delivery loop failed")
