"""Move octets: whole writes out, whole replies in (RFC 5321 section 4.2, RFC 3207)."""

from __future__ import annotations

import re
import socket
import ssl
import time

_REPLY_LINE = re.compile(r"([2-5]\d\d)(?:([ -])(.*))?$", re.DOTALL)
_MAX_LINE_BYTES = 4096  # RFC 5321 section 4.5.3.1.5 says 512; servers say more
_MAX_LINES = 200
_READ_BYTES = 4096
_TLS_RECORD_BYTES = 16384
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class ConnectionLost(Exception):
    """The connection is of no more use: closed, silent for too long, or not speaking SMTP.

    ``has_stalled`` is set when it may still be open, but no octet came or went in time.
    """

    def __init__(self, text: str, *, has_stalled: bool = False) -> None:
        super().__init__(text)
        self.has_stalled = has_stalled


class Replies:
    """Collect what the server sends and give it back as whole replies."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._texts: list[str] = []

    def feed(self, octets: bytes) -> None:
        """Take more of what came in."""
        self._received += octets

    def forget(self) -> None:
        """Drop what came in and was not read."""
        self._received.clear()
        self._texts = []

    def next(self) -> tuple[int, list[str]] | None:
        """Return the next reply: its code, and the text of each line; None while it is not whole.

        The last line has the say when a server mixes codes. Raises ConnectionLost for what is
        not SMTP.
        """
        while (end := self._received.find(b"\n")) >= 0:
            if end > _MAX_LINE_BYTES:
                raise _line_too_long()
            line = self._received[:end].decode(errors="replace").rstrip("\r")
            del self._received[: end + 1]
            match = _REPLY_LINE.match(line)
            if match is None:
                raise ConnectionLost(f"the server answered {line[:80]!r}, which is not SMTP")
            self._texts.append(match[3] or "")
            if match[2] != "-":
                texts, self._texts = self._texts, []
                return int(match[1]), texts
            if len(self._texts) >= _MAX_LINES:
                raise ConnectionLost(f"the server's reply went over {_MAX_LINES} lines")
        if len(self._received) > _MAX_LINE_BYTES:
            raise _line_too_long()
        return None


class Wire:
    """Wrap a connected socket; every failure of it becomes ConnectionLost.

    ``write`` and ``read`` wait; after ``never_wait``, ``write_some`` and ``read_some`` serve a loop
    that knows by itself when the socket is ready.
    """

    def __init__(self, connected: socket.socket) -> None:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected
        self._replies = Replies()
        self._timeout_seconds: float | None = None

    def start_tls(self, context: ssl.SSLContext, *, host: str, seconds: float) -> str:
        """Encrypt from here on and answer the protocol's name.

        What arrived in clear before is forgotten: it may have been injected (CVE-2011-0411).
        Raises ssl.SSLError when the handshake fails, for the caller to tell why.
        """
        self._replies.forget()
        self._wait_at_most(seconds)
        try:
            encrypted = context.wrap_socket(self._socket, server_hostname=host)
        except ssl.SSLError:
            raise
        except OSError as error:
            raise _lost(error, seconds=seconds) from error
        self._socket = encrypted
        return encrypted.version() or "TLS"

    def write(self, octets: bytes, *, seconds: float) -> None:
        """Write all octets; when it raises, the last one did not leave."""
        self._wait_at_most(seconds)
        deadline = time.monotonic() + seconds
        rest = memoryview(octets)
        try:
            while rest:
                rest = rest[self._socket.send(rest) :]
                if rest and time.monotonic() > deadline:
                    raise TimeoutError
        except OSError as error:
            raise _lost(error, seconds=seconds) from error

    def read(self, *, seconds: float) -> tuple[int, list[str]]:
        """Read one reply: its code, and the text of each line."""
        deadline = time.monotonic() + seconds
        self._wait_at_most(seconds)
        while (reply := self._replies.next()) is None:
            if time.monotonic() > deadline:
                raise _lost(TimeoutError(), seconds=seconds)
            try:
                octets = self._socket.recv(_READ_BYTES)
            except OSError as error:
                raise _lost(error, seconds=seconds) from error
            self._take(octets)
        return reply

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self._socket.fileno()

    def never_wait(self) -> None:
        """Let the socket be driven by a loop: ``write_some`` and ``read_some`` from here on."""
        self._wait_at_most(0)

    def write_some(self, octets: memoryview) -> int:
        """Write what can leave now and return how many octets did.

        With TLS one record at a time: of several, it would not be known which have left.
        """
        if isinstance(self._socket, ssl.SSLSocket):
            octets = octets[:_TLS_RECORD_BYTES]
        try:
            return self._socket.send(octets)
        except _NOT_NOW:
            return 0
        except OSError as error:
            raise _lost(error, seconds=0) from error

    def read_some(self) -> bool:
        """Take in what has arrived, and tell whether there was anything but matters of TLS.

        Raises ConnectionLost when the server has closed.
        """
        try:
            octets = self._socket.recv(_READ_BYTES)
            while octets and isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
                octets += self._socket.recv(_READ_BYTES)
        except _NOT_NOW:
            return False
        except OSError as error:
            raise _lost(error, seconds=0) from error
        self._take(octets)
        return True

    def next_reply(self) -> tuple[int, list[str]] | None:
        """Return the next reply that has arrived whole, None if there is none."""
        return self._replies.next()

    def close(self) -> None:
        """Close the socket without a word."""
        self._socket.close()

    def _take(self, octets: bytes) -> None:
        if not octets:
            raise ConnectionLost("the server closed the connection")
        self._replies.feed(octets)

    def _wait_at_most(self, seconds: float) -> None:
        if seconds != self._timeout_seconds:  # each call costs a system call
            self._socket.settimeout(seconds)
            self._timeout_seconds = seconds


def _line_too_long() -> ConnectionLost:
    return ConnectionLost(f"the server sent a line over {_MAX_LINE_BYTES} octets")


def _lost(error: OSError, *, seconds: float) -> ConnectionLost:
    if isinstance(error, TimeoutError):
        return ConnectionLost(f"the server was silent for {seconds:g} s", has_stalled=True)
    return ConnectionLost(f"the connection broke ({error.strerror or error})")
