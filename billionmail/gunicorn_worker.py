"""Close connections whose request does not arrive in time, so that none can hold a thread.

gunicorn's threaded worker waits for the rest of a request without any limit of time: as many
half-sent requests as it has threads would stop the service, and need no key for it.
"""

from __future__ import annotations

import errno
import socket
import time
from functools import partial
from selectors import EVENT_READ
from typing import Any

from django.conf import settings
from gunicorn.workers.gthread import TConn, ThreadWorker


class DeadlineSocket(socket.socket):
    """A socket that gives what came before `read_by` (monotonic seconds), then an error."""

    read_by = 0.0

    @classmethod
    def taking_over(cls, plain: socket.socket) -> DeadlineSocket:
        """Return a socket for the connection of `plain`, which is of no more use."""
        timeout = plain.gettimeout()
        taken = cls(plain.family, plain.type, plain.proto, fileno=plain.detach())
        taken.settimeout(timeout)
        return taken

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Read as ever, but no longer than until the deadline; then only what is here already."""
        timeout = self.gettimeout()
        left = max(self.read_by - time.monotonic(), 0.0)
        if timeout is not None and timeout < left:
            return super().recv(size, flags)
        self.settimeout(left)
        try:
            return super().recv(size, flags)
        except (TimeoutError, BlockingIOError):
            # The one error that gunicorn takes for a caller's business and does not log.
            raise ConnectionResetError(errno.ECONNRESET, "the request came too slowly") from None
        finally:
            self.settimeout(timeout)


class DeadlineWorker(ThreadWorker):
    """gunicorn's threaded worker with a limit of time for reading each request.

    The time counts from the first byte, also while the request waits for a thread: any number
    of half-sent requests is gone after REQUEST_READ_SECONDS.
    """

    def enqueue_req(self, conn: TConn) -> None:
        """Give a thread to a connection that has something to read; called in the main thread."""
        if not conn.initialized and not conn.data_ready:
            self._park(conn)
            return
        conn.sock.read_by = time.monotonic() + settings.REQUEST_READ_SECONDS
        super().enqueue_req(conn)

    def _park(self, conn: Any) -> None:
        """Wait for the first byte in the main loop, where waiting costs no thread."""
        conn.sock = DeadlineSocket.taking_over(conn.sock)
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + settings.REQUEST_READ_SECONDS
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))
