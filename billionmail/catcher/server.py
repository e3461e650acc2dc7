"""Take in over SMTP, on loopback only, whatever is sent to anybody, and keep it in the inbox."""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from billionmail.catcher import inbox

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
MAX_MAIL_BYTES = 32 * 1024 * 1024


class CatcherServer:
    """An SMTP server in a thread of its own; port 0 means a free one, known after start().

    It announces PIPELINING, SIZE, 8BITMIME and SMTPUTF8, accepts every address and answers 250
    to DATA only once the file is there. It speaks plain SMTP without AUTH or STARTTLS.
    """

    def __init__(self, port: int, directory: Path) -> None:
        self.port = port
        self.directory = directory
        self._controller: _BoundController | None = None

    def start(self) -> None:
        """Listen; raise OSError with a text for the operator when that is impossible."""
        try:
            inbox.create_directory(self.directory)
        except OSError as error:
            raise OSError(
                error.errno,
                f"The mail catcher cannot create {self.directory}: {error.strerror}. "
                "Point DATA_DIR to a directory that this user may write to.",
            ) from error
        try:
            listener = socket.create_server((LOOPBACK, self.port))
        except OSError as error:
            raise OSError(
                error.errno,
                f"The mail catcher cannot listen on {LOOPBACK}:{self.port}: {error.strerror}. "
                "Set MAIL_CATCHER_PORT to a free port, or to 0 for any.",
            ) from error
        # aiosmtpd writes an answer line by line; waiting for ACKs would cost 40 ms a session.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = listener.getsockname()[1]
        self._controller = _BoundController(_Catcher(self.directory), listener)
        self._controller.start()
        log.info("Catching mail on %s:%s in %s", LOOPBACK, self.port, self.directory)

    def stop(self) -> None:
        """Stop listening and drop open connections; does nothing when not started."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None


class _Catcher:
    """The hooks that aiosmtpd finds by their names and calls for the commands."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    async def handle_EHLO(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        session.host_name = hostname
        # aiosmtpd reads commands from a stream, one by one, so it may be sent many at once.
        return [*responses[:-1], "250-PIPELINING", responses[-1]]

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        try:
            # Writing blocks this loop for well under a millisecond and keeps the order of receipt.
            name = inbox.store(
                self.directory,
                content=envelope.original_content or b"",
                envelope_sender=_without_null_path(envelope.mail_from or ""),
                recipients=envelope.rcpt_tos,
                received_at=datetime.now(UTC),
            )
        except OSError as error:
            log.exception("A caught mail could not be written to %s", self.directory)
            return f"451 The mail catcher cannot write to its inbox: {error.strerror}"
        return f"250 OK caught as {name}"


def _without_null_path(envelope_sender: str) -> str:
    # aiosmtpd takes the angle brackets off every address except the empty one.
    return "" if envelope_sender == "<>" else envelope_sender


class _BoundController(Controller):
    """Serve on a socket that is already bound, so that port 0 can be a free one."""

    def __init__(self, handler: _Catcher, listener: socket.socket) -> None:
        address, port = listener.getsockname()
        super().__init__(
            handler,
            hostname=address,
            port=port,
            server_hostname="localhost",
            data_size_limit=MAX_MAIL_BYTES,
            enable_SMTPUTF8=True,
            decode_data=False,
        )
        self.listener = listener

    def _create_server(self) -> Awaitable[Any]:
        return self.loop.create_server(self._factory_invoker, sock=self.listener)
