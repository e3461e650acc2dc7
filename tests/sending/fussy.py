"""Be a next hop with limits: so many connections, so many messages on each, so fast."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time

from tests.sending.transports.script import Peer


class FussyServer:
    """An SMTP server with PIPELINING; a limit of 0 is none.

    Beyond `messages` a connection gets 421 to MAIL and 503 to the rest, or is closed at once if
    `hangs_up`. Beyond `connections` one is greeted with 421. `seconds` pass before a body has its
    answer; `chained` counts the bodies that had an envelope behind them by then.
    """

    def __init__(
        self,
        *,
        messages: int = 0,
        hangs_up: bool = False,
        connections: int = 0,
        seconds: float = 0.0,
    ) -> None:
        self.recipients: list[str] = []
        self.chained = 0
        self.refused = 0
        self._messages = messages
        self._hangs_up = hangs_up
        self._seconds = seconds
        self._places = threading.Semaphore(connections or 1000)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._listen)]
        self._threads[0].start()

    def stop(self) -> None:
        """End it, once its clients have left."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connected, _ = self._listener.accept()
                connected.settimeout(40)
                thread = threading.Thread(target=self._serve, args=[Peer(connected)])
                self._threads.append(thread)
                thread.start()

    def _serve(self, peer: Peer) -> None:
        with contextlib.closing(peer), contextlib.suppress(OSError):
            if not self._places.acquire(blocking=False):
                self.refused += 1
                peer.say("421 4.7.0 Too many connections")
                return
            try:
                peer.greet("PIPELINING")
                self._converse(peer)
            finally:
                self._places.release()

    def _converse(self, peer: Peer) -> None:
        taken = 0
        while (line := peer.hear()) not in ("", "QUIT"):
            is_full = 0 < self._messages <= taken
            if is_full:
                peer.say("421 4.7.0 Enough" if line.startswith("MAIL") else "503 5.5.1 Bad order")
            elif line != "DATA":
                peer.say("250 2.0.0 Ok")
                recipient = line.partition("<")[2].rstrip(">")
            else:
                peer.say("354 Go ahead")
                peer.hear_body()
                taken += 1
                self._take(peer, recipient)
                if self._hangs_up and taken == self._messages:
                    return
        if line == "QUIT":
            peer.say("221 Bye")

    def _take(self, peer: Peer, recipient: str) -> None:
        time.sleep(self._seconds)
        self.chained += bool(select.select([peer.socket], [], [], 0)[0] or peer.has_more())
        self.recipients.append(recipient)
        peer.say("250 2.0.0 Ok: queued as F1")
