"""Run an SMTP server that does what a script says, faults included."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable


class Peer:
    """The server's end of one scripted connection."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.lines: list[str] = []
        self._file = connected.makefile("rb")

    def say(self, *lines: str) -> None:
        self.socket.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def hear(self, start: str = "") -> str:
        """Read one command, which has to begin so; an empty one means the client left."""
        line = self._file.readline().decode().rstrip("\r\n")
        self.lines.append(line)
        assert line.upper().startswith(start.upper()), f"{line!r} instead of {start}"
        return line

    def greet(self, *extensions: str) -> None:
        self.say("220 scripted.example.org ESMTP")
        self.hear("EHLO")
        offered = ["scripted.example.org", *extensions]
        self.say(*(f"250-{each}" for each in offered[:-1]), f"250 {offered[-1]}")

    def hear_envelope(self) -> None:
        """Take the three commands of a pipelining client."""
        for command in ("MAIL", "RCPT", "DATA"):
            self.hear(command)

    def accept_envelope(self) -> None:
        self.hear_envelope()
        self.say("250 2.1.0 Ok", "250 2.1.5 Ok", "354 Go ahead")

    def hear_body(self) -> bytes:
        lines = []
        while (line := self._file.readline()) not in (b".\r\n", b""):
            lines.append(line)
        return b"".join(lines)

    def deliver(self) -> bytes:
        self.accept_envelope()
        octets = self.hear_body()
        self.say("250 2.0.0 Ok: queued as 4XyZ1")
        return octets

    def has_more(self) -> bool:
        """Tell whether something was read from the socket that was not heard yet."""
        self.socket.setblocking(False)
        try:
            return bool(self._file.peek(1))
        finally:
            self.socket.settimeout(60)

    def hear_goodbye(self) -> None:
        if self.hear() == "QUIT":
            self.say("221 Bye")

    def reset_connection(self) -> None:
        """Close so that the client gets a RST instead of an orderly end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self) -> None:
        self._file.close()
        self.socket.close()


Script = Callable[[Peer], None]


class ScriptedServer:
    """Run one script for each connection, in their order, and then stop listening."""

    def __init__(self, *scripts: Script) -> None:
        self.peers: list[Peer] = []
        self.errors: list[BaseException] = []
        self.released = threading.Event()
        self._scripts = scripts
        self._listener = socket.create_server(("127.0.0.1", 0))
        # A body of some megabytes then cannot disappear in the buffers of the kernel.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self._listener.settimeout(60)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def lines(self) -> list[str]:
        return [line for peer in self.peers for line in peer.lines]

    def finish(self) -> None:
        """Wait for the end of the scripts; what failed in them fails the test."""
        self.released.set()
        if self._listener.fileno() >= 0:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes a script that waits for a client
        self._thread.join(60)
        self._listener.close()
        assert not self._thread.is_alive()
        if self.errors:
            raise self.errors[0]

    def _run(self) -> None:
        for script in self._scripts:
            try:
                connected, _ = self._listener.accept()
            except OSError:
                return  # the test has ended without this connection
            connected.settimeout(60)
            peer = Peer(connected)
            self.peers.append(peer)
            try:
                script(peer)
            except BaseException as error:
                self.errors.append(error)
            finally:
                peer.close()
