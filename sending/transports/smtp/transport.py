"""Hand messages to a relay by SMTP, over one connection that stays open between them."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Callable

from sending.errors import ConfigurationError, LeaseLost, Phase, TransportError
from sending.mime import Content
from sending.outgoing import Outgoing
from sending.transports.base import Finding, Receipt
from sending.transports.smtp.session import Relay, Session
from sending.transports.smtp.transaction import (
    StaleConnection,
    Step,
    Transaction,
    content_of,
)
from sending.transports.smtp.wire import ConnectionLost

_TLS_MODES = ("none", "starttls", "tls")
_LAST_WORDS_SECONDS = 1
# Servers have limits of their own, often a hundred; this one spreads load over hosts of one name.
MAX_MESSAGES_PER_CONNECTION = 100


class SmtpTransport:
    """Speak SMTP to one relay.

    Unlike smtplib it knows how far a message got when something breaks, which decides between
    "safe to retry" and "may have arrived". With PIPELINING a message costs two round trips.

    ``tls``: ``none``, ``starttls`` (never continues in clear) or ``tls`` (from the first octet).
    ``ca_file`` replaces the system's authorities. ``data_timeout_seconds`` is for the body and for
    the answer to it (RFC 5321 section 4.5.3.2 asks for minutes). ``max_messages_per_connection`` 0
    means no limit. Nothing is connected before the first use.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        tls: str,
        local_hostname: str,
        username: str = "",
        password: str = "",
        verify_certificate: bool = True,
        ca_file: str = "",
        connect_timeout_seconds: float = 10,
        command_timeout_seconds: float = 60,
        data_timeout_seconds: float = 300,
        max_messages_per_connection: int = MAX_MESSAGES_PER_CONNECTION,
        max_idle_seconds: float = 60,
    ) -> None:
        self._relay = Relay(
            host=host,
            port=port,
            tls=tls,
            username=username,
            password=password,
            verify_certificate=verify_certificate,
            ca_file=ca_file,
            local_hostname=local_hostname,
            connect_timeout_seconds=connect_timeout_seconds,
            command_timeout_seconds=command_timeout_seconds,
            data_timeout_seconds=data_timeout_seconds,
        )
        self._max_messages = max_messages_per_connection
        self._max_idle_seconds = max_idle_seconds
        self._session: Session | None = None
        self._context: ssl.SSLContext | None = None

    def send(self, outgoing: Outgoing, *, before_body: Callable[[], bool]) -> Receipt:
        """Hand over one message; see ``Transport.send``."""
        content = content_of(outgoing)
        session = self._kept_session()
        if session is not None:
            # The server may have closed it meanwhile. It has answered nothing about this message
            # then, so a second try over a new connection cannot make a second copy.
            with contextlib.suppress(StaleConnection):
                return _carry(session, outgoing, content, before_body=before_body)
        self._session = self.open_session()
        return _carry(self._session, outgoing, content, before_body=before_body)

    def open_session(self) -> Session:
        """Return a new session, open and logged in; the caller owns it.

        Raises TransientError or ConfigurationError.
        """
        session = Session(self._relay, context=self._tls_context())
        session.open()
        return session

    def check(self) -> list[Finding]:
        """Connect, log in and leave on a connection of its own; tell what was seen."""
        session: Session | None = None
        failure = []
        try:
            session = Session(self._relay, context=self._tls_context())
            session.open()
            session.quit()
        except TransportError as error:
            failure = [Finding(ok=False, text=str(error))]
        seen = [Finding(ok=True, text=note) for note in (session.notes if session else [])]
        if session and not failure:
            seen.append(Finding(ok=True, text=_offer(session.extensions)))
        return [*seen, *failure]

    def close(self) -> None:
        """Take leave of the server, if there is a connection."""
        if self._session is not None:
            self._session.quit()
            self._session = None

    def _kept_session(self) -> Session | None:
        """Answer the open session, unless it is used up or has been idle for too long."""
        session = self._session
        if session is None or not session.is_open:
            return None
        is_used_up = 0 < self._max_messages <= session.messages
        if is_used_up or time.monotonic() - session.used_at > self._max_idle_seconds:
            self.close()
            return None
        return session

    def _tls_context(self) -> ssl.SSLContext | None:
        """Make the context once: reading the system's authorities takes milliseconds."""
        if self._relay.tls not in _TLS_MODES:
            raise self._wrong(f"{self._relay.tls!r} is not one of {', '.join(_TLS_MODES)}.")
        if self._context is None and self._relay.tls != "none":
            try:
                self._context = ssl.create_default_context(cafile=self._relay.ca_file or None)
            except OSError as error:
                raise self._wrong(f"cannot read the CA file: {error}.") from error
            if not self._relay.verify_certificate:
                self._context.check_hostname = False
                self._context.verify_mode = ssl.CERT_NONE
        return self._context

    def _wrong(self, text: str) -> ConfigurationError:
        return ConfigurationError(f"{self._relay}: {text}", phase=Phase.TLS)


def _carry(
    session: Session, outgoing: Outgoing, content: Content, *, before_body: Callable[[], bool]
) -> Receipt:
    """Hand one message over an open session, waiting for every reply."""
    transaction = Transaction(
        outgoing, content=content, extensions=session.extensions, next_hop=str(session.relay)
    )
    try:
        _converse(session, transaction, before_body=before_body)
    except ConnectionLost as error:
        transaction.lose(error)
    finally:
        session.note_message()
        if transaction.answer is None or not transaction.is_session_good:
            session.drop()
    if isinstance(transaction.answer, TransportError | LeaseLost):
        raise transaction.answer
    assert transaction.answer is not None  # noqa: S101 - the conversation ends with an answer
    return transaction.answer


def _converse(
    session: Session, transaction: Transaction, *, before_body: Callable[[], bool]
) -> None:
    session.write(transaction.begin())
    step = Step.REPLY
    while step is not Step.NOTHING:
        if step is Step.LEAVE:
            if not before_body():
                transaction.withdraw()
                return
            _send_body(session, transaction)
        elif octets := transaction.to_write():
            session.write(octets)
        is_long = transaction.awaits_acceptance
        seconds = session.relay.data_timeout_seconds if is_long else None
        step = transaction.hear(session.read(seconds=seconds))


def _send_body(session: Session, transaction: Transaction) -> None:
    try:
        session.write(transaction.take_body(), seconds=session.relay.data_timeout_seconds)
    except ConnectionLost:
        # The server may have told why before it stopped reading.
        with contextlib.suppress(ConnectionLost):
            transaction.hear(session.read(seconds=_LAST_WORDS_SECONDS))
        raise
    transaction.body_left()


def _offer(extensions: dict[str, str]) -> str:
    if not extensions:
        return "The server offers no extensions."
    names = (f"{name} {parameters}".strip() for name, parameters in extensions.items())
    return f"The server offers {', '.join(names)}."
