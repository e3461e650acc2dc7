"""Move octets: whole writes out, whole replies in (RFC 5321 section 4.2, RFC 3207)."""

from __future__ import annotations

import re
import socket
import ssl
import time

_REPLY_LINE = re.compile(r"([2-5]\d\d)(?:([ -])(.*))?$", re.DOTALL)
_MAX_LINE_BYTES = 4096  # RFC 5321 section 4.5.3.1.5 says 512; servers say more
_MAX_LINES = 200


class ConnectionLost(Exception):
    """The connection is of no more use: closed, silent for too long, or not speaking SMTP.

    ``has_stalled`` is set when it may still be open, but no octet came or went in time.
    """

    def __init__(self, text: str, *, has_stalled: bool = False) -> None:
        super().__init__(text)
        self.has_stalled = has_stalled


class Wire:
    """Wrap a connected socket; every failure of it becomes ConnectionLost."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected
        self._received = bytearray()
        self._timeout_seconds: float | None = None

    def start_tls(self, context: ssl.SSLContext, *, host: str, seconds: float) -> str:
        """Encrypt from here on and answer the protocol's name.

        What arrived in clear before is forgotten: it may have been injected (CVE-2011-0411).
        Raises ssl.SSLError when the handshake fails, for the caller to tell why.
        """
        self._received.clear()
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
        """Read one reply: its code, and the text of each line.

        The last line has the say when a server mixes codes.
        """
        deadline = time.monotonic() + seconds
        self._wait_at_most(seconds)
        texts: list[str] = []
        while len(texts) < _MAX_LINES:
            line = self._read_line(deadline=deadline, seconds=seconds)
            match = _REPLY_LINE.match(line)
            if match is None:
                raise ConnectionLost(f"the server answered {line[:80]!r}, which is not SMTP")
            texts.append(match[3] or "")
            if match[2] != "-":
                return int(match[1]), texts
        raise ConnectionLost(f"the server's reply went over {_MAX_LINES} lines")

    def close(self) -> None:
        """Close the socket without a word."""
        self._socket.close()

    def _read_line(self, *, deadline: float, seconds: float) -> str:
        while (end := self._received.find(b"\n")) < 0:
            if len(self._received) > _MAX_LINE_BYTES:
                break
            if time.monotonic() > deadline:
                raise _lost(TimeoutError(), seconds=seconds)
            self._receive(seconds=seconds)
        if not 0 <= end <= _MAX_LINE_BYTES:
            raise ConnectionLost(f"the server sent a line over {_MAX_LINE_BYTES} octets")
        line = self._received[:end].decode(errors="replace").rstrip("\r")
        del self._received[: end + 1]
        return line

    def _receive(self, *, seconds: float) -> None:
        try:
            octets = self._socket.recv(_MAX_LINE_BYTES)
        except OSError as error:
            raise _lost(error, seconds=seconds) from error
        if not octets:
            raise ConnectionLost("the server closed the connection")
        self._received += octets

    def _wait_at_most(self, seconds: float) -> None:
        if seconds != self._timeout_seconds:  # each call costs a system call
            self._socket.settimeout(seconds)
            self._timeout_seconds = seconds


def _lost(error: OSError, *, seconds: float) -> ConnectionLost:
    if isinstance(error, TimeoutError):
        return ConnectionLost(f"the server was silent for {seconds:g} s", has_stalled=True)
    return ConnectionLost(f"the connection broke ({error.strerror or error})")
