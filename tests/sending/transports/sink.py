"""Run an SMTP server that keeps what it accepts."""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd tells every command


@dataclass
class Sink:
    """An aiosmtpd server in a thread that keeps what it accepts."""

    options: dict[str, Any] = field(default_factory=dict)
    implicit_tls: ssl.SSLContext | None = None
    is_pipelining: bool = False
    refused: set[str] = field(default_factory=set)
    envelopes: list[Envelope] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,))
        self._thread.start()
        assert started.wait(60)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, replies: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return replies[:-1] + ["250-PIPELINING"] * self.is_pipelining + replies[-1:]

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return "550 5.1.1 No such user"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.envelopes.append(envelope)
        return f"250 2.0.0 Ok: queued as SINK{len(self.envelopes)}"

    def _make_session(self) -> SMTP:
        self.connections += 1
        return SMTP(self, loop=self._loop, hostname="sink.example.org", **self.options)

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            self._loop.create_server(self._make_session, "127.0.0.1", 0, ssl=self.implicit_tls)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._loop.call_soon(started.set)
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(server.wait_closed())
        self._loop.close()


def accept_ann(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    """Let Ann in, with a password outside ASCII."""
    is_ann = data == LoginPassword(b"ann", "pässword".encode())
    return AuthResult(success=is_ann, handled=is_ann)
