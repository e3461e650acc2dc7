"""Carry one message through MAIL, RCPT, DATA and the final dot (RFC 5321 section 3.3).

The course of a message is kept apart from the moving of octets: a transaction is told each reply
and says what is to be written next. So the same rules serve a connection that waits and one that
is driven by a loop.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum, auto

from sending.errors import LeaseLost, PermanentError, Phase, Reply, TransientError, TransportError
from sending.mime import Content, compose
from sending.outgoing import Outgoing
from sending.transports.base import Receipt, refusal
from sending.transports.smtp.envelope import body_for_wire, mail_command, rcpt_command
from sending.transports.smtp.wire import ConnectionLost

# How Postfix, Exim and OpenSMTPD, in this order, name the message in their acceptance.
_QUEUE_ID = re.compile(
    r"(?:queued as|\bid=)\s*<?(?P<id>[\w.@-]+)|^(?P<first>\w+) Message accepted for delivery"
)


class StaleConnection(TransientError):
    """The connection ended, or is used up, before the server took anything of this message."""


class Step(Enum):
    """What a transaction waits for."""

    REPLY = auto()  # the next reply of the server
    LEAVE = auto()  # to send the body: the server has said 354
    NOTHING = auto()  # ``answer`` says how it ended


class Transaction:
    """Hand one message over a session.

    ``answer`` is None until the end. ``is_session_good`` tells whether the session can carry
    another message then.
    """

    def __init__(
        self, outgoing: Outgoing, *, content: Content, extensions: Mapping[str, str], next_hop: str
    ) -> None:
        """Write the envelope; raises PermanentError for a message that this server cannot take."""
        self.answer: Receipt | TransportError | LeaseLost | None = None
        self.is_session_good = True
        self.is_pipelined = "PIPELINING" in extensions
        self.awaits_acceptance = False
        self._next_hop = next_hop
        self._body = body_for_wire(content)
        self._commands = {
            Phase.MAIL: mail_command(outgoing, content=content.octets, extensions=extensions),
            Phase.RCPT: rcpt_command(outgoing, extensions=extensions),
            Phase.DATA: b"DATA\r\n",
        }
        self._phase = Phase.MAIL
        self._error: TransportError | None = None
        # Not bound: a cycle would keep the body in memory until the collector comes by.
        self._hear: Callable[[Transaction, Reply], Step] = Transaction._hear_envelope
        self._outbox = b""

    def begin(self) -> bytes:
        """Return the first octets to write: the whole envelope where the server takes it so."""
        if self.is_pipelined:
            return b"".join(self._commands.values())
        return self._commands[Phase.MAIL]

    def hear(self, reply: Reply) -> Step:
        """Take in a reply; ``to_write`` may have octets afterwards."""
        return self._hear(self, reply)

    def to_write(self) -> bytes:
        """Return what is to be written now, once."""
        octets, self._outbox = self._outbox, b""
        return octets

    def take_body(self) -> bytes:
        """Return the body with its dot, to be written now that leave was given."""
        self._phase = Phase.BODY
        return self._body

    def body_left(self) -> None:
        """Note that the last octet of the body has left: the server may own the message."""
        self._phase = Phase.DOT
        self.awaits_acceptance = True
        self._hear = Transaction._hear_acceptance

    def withdraw(self) -> None:
        """End without a body. After 354 only closing the connection takes DATA back."""
        message = "Another worker owns this message now; its body was not sent."
        self._finish(LeaseLost(message), is_session_good=False)

    def lose(self, error: ConnectionLost) -> None:
        """End because the connection did."""
        if self.answer is None:
            self._finish(self._error or self._lost(error), is_session_good=False)

    def _hear_envelope(self, reply: Reply) -> Step:
        """Get as far as 354, or find out why not (RFC 2920)."""
        if reply.code >= 400 and (reply.code == 421 or self._is_used_up(reply)):
            return self._finish(self._error or self._farewell(reply), is_session_good=False)
        expected = reply.code == 354 if self._phase is Phase.DATA else reply.code // 100 == 2
        if not expected:
            self._error = self._error or self._refused(reply)
        if self._phase is Phase.DATA:
            return self._after_data(reply)
        if self._error and not self.is_pipelined:
            return self._reset()
        self._phase = Phase.RCPT if self._phase is Phase.MAIL else Phase.DATA
        if not self.is_pipelined:
            self._outbox = self._commands[self._phase]
        return Step.REPLY

    def _is_used_up(self, reply: Reply) -> bool:
        """Tell whether the connection has carried as many messages as OpenSMTPD lets it."""
        return self._phase is Phase.MAIL and reply.enhanced == "4.5.3"

    def _after_data(self, reply: Reply) -> Step:
        if self._error is None:
            self._hear = Transaction._hear_early
            return Step.LEAVE
        if reply.code != 354:
            return self._reset()
        if self._error.phase is Phase.MAIL:
            # There is a recipient all the same: the dot would send it an empty message.
            return self._finish(self._error, is_session_good=False)
        # A message without a recipient: the server waits for its end (RFC 2920 section 3.1).
        self._outbox = b".\r\n"
        self._hear = Transaction._hear_end_of_nothing
        return Step.REPLY

    def _hear_end_of_nothing(self, reply: Reply) -> Step:
        if reply.code == 421:
            return self._finish(self._error, is_session_good=False)
        return self._reset()

    def _reset(self) -> Step:
        """Have the server forget the transaction."""
        self._outbox = b"RSET\r\n"
        self._hear = Transaction._hear_reset
        return Step.REPLY

    def _hear_reset(self, reply: Reply) -> Step:
        return self._finish(self._error, is_session_good=reply.code // 100 == 2)

    def _hear_early(self, reply: Reply) -> Step:
        """Take the reason that a server gives after 354 before it has read the whole body."""
        return self._finish(self._refused(reply), is_session_good=False)

    def _hear_acceptance(self, reply: Reply) -> Step:
        if reply.code // 100 == 2:
            queue_id = _QUEUE_ID.search(reply.text)
            transport_id = queue_id["id"] or queue_id["first"] if queue_id else ""
            return self._finish(Receipt(reply=reply, transport_id=transport_id))
        refused = self._refused(reply)
        refused.is_ambiguous = reply.code < 400  # neither yes nor no
        return self._finish(refused, is_session_good=reply.code >= 400 and reply.code != 421)

    def _finish(
        self,
        answer: Receipt | TransportError | LeaseLost | None,
        *,
        is_session_good: bool = True,
    ) -> Step:
        self.answer = answer
        self.is_session_good = is_session_good
        return Step.NOTHING

    def _lost(self, error: ConnectionLost) -> TransientError:
        kind: type[TransientError] = TransientError
        if self._phase is Phase.MAIL and not error.has_stalled:
            kind = StaleConnection
        return kind(
            f"{self._next_hop}: {error} (phase {self._phase})",
            phase=self._phase,
            reply=Reply(text=str(error)),
            # Before the dot has left, no server can have accepted.
            is_ambiguous=self._phase is Phase.DOT,
        )

    def _farewell(self, reply: Reply) -> TransientError:
        kind = StaleConnection if self._phase is Phase.MAIL else TransientError
        message = f"{self._next_hop} takes no more over this connection: {reply}"
        return kind(message, phase=self._phase, reply=reply)

    def _refused(self, reply: Reply) -> TransportError:
        return refusal(reply, phase=self._phase, next_hop=self._next_hop)


def content_of(outgoing: Outgoing) -> Content:
    """Write the message; what cannot be written now never can."""
    try:
        return compose(outgoing)
    except ValueError as error:
        raise PermanentError(
            f"No message can be made of this: {error}",
            phase=Phase.MAIL,
            reply=Reply(enhanced="5.6.0", text=str(error)),
        ) from error
