"""Be the next hop: an SMTP server that keeps every message, and can be told what to answer."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

# Sockets whose names say which ports the test runs of this machine use; freed at their ends.
_reserved: list[socket.socket] = []


def free_port() -> int:
    """Return a loopback port that nobody uses, and no other process of tests is given.

    Not one of the ephemeral ones: of these any outgoing connection may take it again before the
    server that asked for it listens. (Linux gives out 32768 to 60999.)
    """
    while True:
        port = 15_000 + secrets.randbelow(17_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _reserve(port)
            return port


def _reserve(port: int) -> None:
    """Take the port's name, before its server listens; raise OSError when it is taken."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0billionmail-tests-{port}")
    except OSError:
        name.close()
        raise
    _reserved.append(name)


class Sink:
    """An aiosmtpd server on a free loopback `port`.

    `replies` maps a recipient to the reply for its RCPT command; others are accepted, and
    answered for after `delay_seconds`. `connections` counts the greetings. More recipients than
    `most` within any `most_seconds` are told to come slower, and counted in `refusals`.
    """

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self._parsed: list[EmailMessage] = []
        self.replies: dict[str, str] = {}
        self.connections = 0
        self.delay_seconds = 0.0
        self._may_answer = threading.Event()
        self._may_answer.set()
        self.most: int | None = None
        self.most_seconds = 1.0
        self.refusals = 0
        self._lately: deque[float] = deque()
        self.port = free_port()
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            ready_timeout=60,
            enable_SMTPUTF8=True,
            data_size_limit=0,
        )

    @property
    def messages(self) -> list[EmailMessage]:
        """What arrived, parsed; each once, for aiosmtpd looks at every attribute of its handler."""
        self._parsed += [
            email.message_from_bytes(envelope.content, policy=email.policy.default)
            for envelope in self.envelopes[len(self._parsed) :]
        ]
        return list(self._parsed)

    @property
    def recipients(self) -> list[str]:
        """Whom it was for, in the order of arrival."""
        return [recipient for envelope in self.envelopes for recipient in envelope.rcpt_tos]

    def start(self) -> None:
        """Begin to listen."""
        self._controller.start()

    def stop(self) -> None:
        """End it."""
        self._controller.stop()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Leave whoever has given a message waiting for the answer until the end."""
        self._may_answer.clear()
        try:
            yield
        finally:
            self._may_answer.set()

    async def handle_EHLO(
        self, server: Any, session: Any, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Count whoever greets."""
        session.host_name = hostname
        self.connections += 1
        return responses

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Answer as told, else accept."""
        reply = self.replies.get(address, "250 2.1.5 OK")
        if self._is_too_fast():
            self.refusals += 1
            return "450 4.7.1 Too fast: slow down"
        if reply.startswith("2"):
            envelope.rcpt_tos.append(address)
        return reply

    def _is_too_fast(self) -> bool:
        if self.most is None:
            return False
        now = time.monotonic()
        while self._lately and now - self._lately[0] > self.most_seconds:
            self._lately.popleft()
        self._lately.append(now)
        return len(self._lately) > self.most

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        """Keep the message before it is answered for."""
        await asyncio.sleep(self.delay_seconds)
        while not self._may_answer.is_set():
            await asyncio.sleep(0.01)
        self.envelopes.append(envelope)
        return "250 2.0.0 OK: queued"
