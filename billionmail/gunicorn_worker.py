"""Serve with gunicorn's threads, but let nobody hold one, and answer opens and clicks without.

gunicorn's threaded worker waits for the rest of a request without any limit of time: as many
half-sent requests as it has threads would stop the service, and need no key for it. And its way of
a request takes several times as long as the answer to an open, which asks no database.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from email.utils import formatdate
from functools import cached_property, lru_cache, partial
from selectors import EVENT_READ
from typing import TYPE_CHECKING, Any

from django.conf import settings
from gunicorn import SERVER
from gunicorn.workers.gthread import TConn, ThreadWorker

from billionmail.plain_requests import read_plain

if TYPE_CHECKING:
    from tracking.answers import Answer

HITS = (b"GET /t/", b"HEAD /t/")
MAX_HEAD_BYTES = 8192


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


def _peeked(sock: socket.socket) -> bytes:
    """Return what has come, and leave it there."""
    try:
        return socket.socket.recv(sock, MAX_HEAD_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return b""


def _send(sock: socket.socket, answer: Answer, *, is_head: bool) -> None:
    """Send an answer without waiting; who does not read the ones before is hung up on."""
    fields = (*_common(int(time.time())), *answer.headers)
    head = f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n" + "".join(
        [f"{name}: {value}\r\n" for name, value in fields]
    )
    octets = head.encode("latin-1") + b"\r\n" + (b"" if is_head else answer.body)
    try:
        whole = sock.send(octets, socket.MSG_DONTWAIT) == len(octets)
    except OSError:
        whole = False
    if not whole:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)  # the main loop sees its end and closes it


@lru_cache(maxsize=2)
def _common(now: int) -> tuple[tuple[str, str], ...]:
    """Return the header fields that gunicorn puts into every answer."""
    return ("Server", SERVER), ("Date", formatdate(now, usegmt=True)), ("Connection", "keep-alive")


class DeadlineWorker(ThreadWorker):
    """gunicorn's threaded worker with a limit of time for reading each request.

    The time counts from the first byte, also while the request waits for a thread: any number
    of half-sent requests is gone after REQUEST_READ_SECONDS.
    """

    def on_client_socket_readable(self, conn: TConn, client: Any) -> None:
        """Answer a hit on a kept connection at once, and leave everything else to a thread."""
        if self._answers_hit(conn):
            conn.set_timeout()
            self.keepalived_conns.remove(conn)
            self.keepalived_conns.append(conn)
        else:
            super().on_client_socket_readable(conn, client)

    def on_pending_socket_readable(self, conn: TConn, client: Any) -> None:
        """Do the same with the first request of a connection."""
        if not self._answers_hit(conn):
            super().on_pending_socket_readable(conn, client)
            return
        self.poller.unregister(client)
        self.pending_conns.remove(conn)
        conn.init()
        conn.sock.setblocking(False)
        conn.set_timeout()
        self.keepalived_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self.on_client_socket_readable, conn))

    def _answers_hit(self, conn: TConn) -> bool:
        """Answer a whole, plain request for a hit that has come; tell whether it was one."""
        answer_for = getattr(self.wsgi, "answer_for", None)
        if answer_for is None or not self.alive or self._keeps_log or conn.cfg.is_ssl:
            return False
        octets = _peeked(conn.sock)
        if not octets.startswith(HITS):
            return False
        environ = read_plain(octets, client=conn.client[0] if conn.client else "")
        try:
            answer: Answer | None = answer_for(environ) if environ else None
        except Exception:  # the ordinary way tells of it; the main loop has to go on
            return False
        if environ is None or answer is None:
            return False
        socket.socket.recv(conn.sock, len(octets))
        _send(conn.sock, answer, is_head=environ["REQUEST_METHOD"] == "HEAD")
        return True

    @cached_property
    def _keeps_log(self) -> bool:
        """Whether somebody wants a line of log, or a figure, for each request."""
        return bool(self.cfg.accesslog or self.cfg.logconfig or self.cfg.statsd_host)

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
