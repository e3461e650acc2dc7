"""Stand between a program and a PostgreSQL, to take the connection or one answer away."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.sink import free_port

CHUNK = 65_536


class Proxy:
    """A TCP port on the loopback before the Unix socket of a server."""

    def __init__(self, socket_path: Path) -> None:
        self._socket_path = socket_path
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []
        self._lost_after = self._lost_answer = b""
        self.lost = 0
        self.port = free_port()

    def restore(self) -> None:
        """Take connections."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Break all connections and refuse new ones."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # ends accept()
            self._listener.close()
        for one in self._open:
            _break(one)
        self._open.clear()

    def lose(self, answer: bytes, *, after: bytes) -> None:
        """Break the connection at the first `answer` that comes after `after` was asked."""
        self._lost_after, self._lost_answer = after, answer

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._socket_path))
            self._open += [client, server]
            threading.Thread(target=self._ask, args=(client, server), daemon=True).start()
            threading.Thread(target=self._answer, args=(server, client), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        for data in _chunks(client):
            if self._lost_after and self._lost_after in data:
                self._lost_after = b""
            with contextlib.suppress(OSError):
                server.sendall(data)
        _break(server)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        for data in _chunks(server):
            if self._lost_answer and not self._lost_after and self._lost_answer in data:
                self._lost_answer = b""
                self.lost += 1
                break
            with contextlib.suppress(OSError):
                client.sendall(data)
        _break(client)


def _chunks(source: socket.socket) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            yield data


def _break(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
