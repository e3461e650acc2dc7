"""Take in mailed reports over SMTP or LMTP (RFC 5321, RFC 2033), each once it is written down.

Another server's queue keeps a report until it hears 250: while the database is away, or when we
fail on a report, it hears 451 and comes again. So nothing is lost, and nothing is kept here.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.db import connections
from django.utils import timezone

from tracking import addressees

log = logging.getLogger(__name__)

DEFAULT_MAX_BYTES = 32 * 1024 * 1024
WORKERS = 4
# RFC 5321 allows 998 octets; those who break that are still worth listening to.
LONGEST_LINE = 1024 * 1024
MAX_RECIPIENTS = 100


class _Smtp(SMTP):
    line_length_limit = LONGEST_LINE


class _Lmtp(LMTP):
    line_length_limit = LONGEST_LINE


class ReportServer:
    """An SMTP or LMTP server in a thread of its own; port 0 means a free one, known after start.

    It speaks no TLS and asks for no password: it belongs behind a mail server of yours, on the
    loopback or a network of yours. It refuses every recipient but the report addresses.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        is_lmtp: bool = False,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> None:
        self.host = host
        self.port = port
        self._is_lmtp = is_lmtp
        self._max_bytes = max_bytes
        self._controller: _BoundController | None = None
        self._executor = ThreadPoolExecutor(max_workers=WORKERS, thread_name_prefix="reports")

    def start(self) -> None:
        """Listen; raise OSError with a text for the operator when that is impossible."""
        try:
            listener = socket.create_server((self.host, self.port))
        except OSError as error:
            raise OSError(
                error.errno,
                f"Cannot listen for reports on {self.host}:{self.port}: {error.strerror}. "
                "Give a free port with --port, and an address of this host with --host.",
            ) from error
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = listener.getsockname()[1]
        self._controller = _BoundController(
            _Handler(self._executor, is_lmtp=self._is_lmtp),
            listener,
            protocol=_Lmtp if self._is_lmtp else _Smtp,
            max_bytes=self._max_bytes,
        )
        self._controller.start()

    def stop(self) -> None:
        """Stop listening and drop connections; what was not answered comes again."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None
        self._executor.shutdown()


class _Handler:
    """The hooks that aiosmtpd finds by their names and calls for the commands."""

    def __init__(self, executor: ThreadPoolExecutor, *, is_lmtp: bool) -> None:
        self._executor = executor
        self._is_lmtp = is_lmtp

    async def handle_RCPT(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        rcpt_options: list[str],
    ) -> str:
        if len(envelope.rcpt_tos) >= MAX_RECIPIENTS:
            return "452 4.5.3 Too many recipients; send the others in another transaction"
        if not addressees.is_ours(address):
            return "550 5.1.1 No such address here: only reports on mail from here are taken"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        loop = asyncio.get_running_loop()
        content, recipients = envelope.original_content or b"", list(envelope.rcpt_tos)
        answer = await loop.run_in_executor(self._executor, take, content, recipients)
        # LMTP answers for each recipient (RFC 2033 section 4.2).
        return "\r\n".join([answer] * (len(recipients) if self._is_lmtp else 1))


def take(content: bytes, recipients: list[str]) -> str:
    """Write down a report and return the reply to its sender; never raises."""
    try:
        addressees.take_mail(content, recipients=recipients, now=timezone.now())
    except Exception:  # the sender keeps it until the database or the defect is mended
        log.exception("A report could not be written down; its sender was told to come again")
        return "451 4.3.0 The report could not be written down; try again later"
    finally:
        connections.close_all()  # this thread may rest for days
    return "250 2.0.0 OK"


class _BoundController(Controller):
    """Serve on a socket that is already bound, so that port 0 can be a free one."""

    def __init__(
        self, handler: _Handler, listener: socket.socket, *, protocol: type[SMTP], max_bytes: int
    ) -> None:
        host, port = listener.getsockname()[:2]
        super().__init__(
            handler,
            hostname=host,
            port=port,
            server_hostname=socket.getfqdn(),
            data_size_limit=max_bytes,
            enable_SMTPUTF8=True,
            decode_data=False,
            ident="reports",
        )
        self._listener = listener
        self._protocol = protocol

    def factory(self) -> SMTP:
        """Return the server side of one connection."""
        return self._protocol(self.handler, **self.SMTP_kwargs)

    def _create_server(self) -> Awaitable[Any]:
        return self.loop.create_server(self._factory_invoker, sock=self._listener)
