"""Carry one message through MAIL, RCPT, DATA and the final dot (RFC 5321 section 3.3)."""

from __future__ import annotations

from collections.abc import Callable

from sending.errors import LeaseLost, Phase, Reply, TransientError, TransportError
from sending.outgoing import Outgoing
from sending.transports.base import refusal
from sending.transports.smtp.envelope import mail_command, rcpt_command
from sending.transports.smtp.session import Session
from sending.transports.smtp.wire import ConnectionLost

_LAST_WORDS_SECONDS = 1


class StaleConnection(TransientError):
    """The connection ended, or is used up, before the server took anything of this message."""


class Transaction:
    """Hand one message over an open session; ``body`` is stuffed and ends with the dot."""

    def __init__(
        self, session: Session, outgoing: Outgoing, *, content: bytes, body: bytes
    ) -> None:
        self._session = session
        self._body = body
        self._phase = Phase.MAIL
        extensions = session.extensions
        self._is_pipelined = "PIPELINING" in extensions
        self._commands = (
            (Phase.MAIL, mail_command(outgoing, content=content, extensions=extensions)),
            (Phase.RCPT, rcpt_command(outgoing, extensions=extensions)),
            (Phase.DATA, b"DATA\r\n"),
        )

    def run(self, *, before_body: Callable[[], bool]) -> Reply:
        """Return the acceptance, or raise as ``Transport.send`` says."""
        error = self._offer_envelope()
        if error is not None:
            if isinstance(error, StaleConnection):
                self._session.quit()
            else:
                self._session.reset()
            raise error
        self._ask(before_body)
        self._send_body()
        return self._read_acceptance()

    def _offer_envelope(self) -> TransportError | None:
        """Get as far as 354, or answer why not, ready for the next message (RFC 2920)."""
        if self._is_pipelined:
            self._write(b"".join(command for _, command in self._commands))
        error = None
        for phase, command in self._commands:
            self._phase = phase
            try:
                if not self._is_pipelined:
                    self._write(command)
                reply = self._read()
            except TransportError as lost:
                return error or lost
            error = error or self._judge(reply)
            if error and not self._is_pipelined:
                return error
        if error and reply.code == 354:
            self._end_data(error)
        return error

    def _judge(self, reply: Reply) -> TransportError | None:
        if reply.code == 354 if self._phase is Phase.DATA else reply.code // 100 == 2:
            return None
        if self._phase is Phase.MAIL and reply.enhanced == "4.5.3" and self._session.messages:
            # OpenSMTPD: the connection has carried as many messages as it may.
            return StaleConnection(
                f"{self._session.relay} takes no more over this connection: {reply}",
                phase=self._phase,
                reply=reply,
            )
        return self._refused(reply)

    def _end_data(self, error: TransportError) -> None:
        """End a message that has no recipient: the server waits for it (RFC 2920 section 3.1)."""
        if error.phase is Phase.MAIL:
            # There is a recipient all the same: the dot would send it an empty message.
            self._session.drop()
            return
        try:
            self._session.write(b".\r\n")
            self._session.read()
        except ConnectionLost:
            self._session.drop()

    def _ask(self, before_body: Callable[[], bool]) -> None:
        """Get leave to send the body. After 354 only closing the connection takes DATA back."""
        self._phase = Phase.BODY
        is_allowed = False
        try:
            is_allowed = before_body()
        finally:
            if not is_allowed:
                self._session.drop()
        if not is_allowed:
            raise LeaseLost("Another worker owns this message now; its body was not sent.")

    def _send_body(self) -> None:
        seconds = self._session.relay.data_timeout_seconds
        try:
            self._session.write(self._body, seconds=seconds)
        except ConnectionLost as error:
            # The dot did not leave, so no server can have accepted: not ambiguous.
            raise self._last_words() or self._session.lost(error, phase=Phase.BODY) from error
        self._phase = Phase.DOT

    def _last_words(self) -> TransportError | None:
        """Look for a reason that the server gave before it stopped reading."""
        try:
            reply = self._session.read(seconds=_LAST_WORDS_SECONDS)
        except ConnectionLost:
            return None
        finally:
            self._session.drop()
        return self._refused(reply) if reply.code >= 400 else None

    def _read_acceptance(self) -> Reply:
        try:
            reply = self._session.read(seconds=self._session.relay.data_timeout_seconds)
        except ConnectionLost as error:
            self._session.drop()
            raise self._session.lost(error, phase=Phase.DOT, is_ambiguous=True) from error
        if reply.code // 100 == 2:
            return reply
        refused = self._refused(reply)
        refused.is_ambiguous = reply.code < 400  # neither yes nor no
        self._session.reset()
        raise refused

    def _write(self, octets: bytes) -> None:
        try:
            self._session.write(octets)
        except ConnectionLost as error:
            raise self._lost(error) from error

    def _read(self) -> Reply:
        try:
            reply = self._session.read()
        except ConnectionLost as error:
            raise self._lost(error) from error
        if reply.code == 421:
            raise self._farewell(reply)
        return reply

    def _lost(self, error: ConnectionLost) -> TransientError:
        self._session.drop()
        lost = self._session.lost(error, phase=self._phase)
        if self._phase is Phase.MAIL and not error.has_stalled:
            return StaleConnection(str(lost), phase=self._phase, reply=lost.reply)
        return lost

    def _farewell(self, reply: Reply) -> TransientError:
        error_class = StaleConnection if self._phase is Phase.MAIL else TransientError
        message = f"{self._session.relay} closed the connection: {reply}"
        return error_class(message, phase=self._phase, reply=reply)

    def _refused(self, reply: Reply) -> TransportError:
        return refusal(reply, phase=self._phase, next_hop=str(self._session.relay))
