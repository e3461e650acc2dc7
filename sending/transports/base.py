"""Define what a transport is, and what all of them share: reading a reply, naming a refusal.

To add a transport: write a class with the three methods of ``Transport`` in a module here, raise
only the errors named below, and export it from ``sending.transports``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sending.errors import (
    ConfigurationError,
    PermanentError,
    Phase,
    Reply,
    TransientError,
    TransportError,
)
from sending.outgoing import Outgoing

_ENHANCED = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_MAX_TEXT = 2000
_CREDENTIAL_CODES = frozenset({530, 534, 535, 538})
_CREDENTIAL_STATUSES = frozenset({"5.7.8", "5.7.57"})

_STEPS = {
    Phase.CONNECT: "the connection",
    Phase.GREETING: "the greeting",
    Phase.TLS: "the start of TLS",
    Phase.AUTH: "the credentials",
    Phase.MAIL: "the envelope sender",
    Phase.RCPT: "the recipient",
    Phase.DATA: "the DATA command",
    Phase.BODY: "the message",
    Phase.DOT: "the message",
}


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the next hop gave in return for the message it took.

    ``transport_id`` is its own name for the message, if it told one.
    """

    reply: Reply
    transport_id: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a route check, in words for the operator."""

    ok: bool
    text: str


class Transport(Protocol):
    """Hand messages to one next hop over one connection, kept open between messages.

    An instance belongs to one thread at a time.
    """

    def send(self, outgoing: Outgoing, *, before_body: Callable[[], bool]) -> Receipt:
        """Hand over one message.

        ``before_body`` is asked at most once: when the envelope is accepted and the body is about
        to leave. Until then a failure left nothing behind; from then on the errors say by
        ``is_ambiguous`` whether the next hop may own the message.

        Raises TransientError, PermanentError or ConfigurationError; LeaseLost when
        ``before_body`` answers False, and then no message was sent.
        """

    def check(self) -> list[Finding]:
        """Try the route without sending a message, and tell what was seen; never raises."""

    def close(self) -> None:
        """End the connection; the next send opens a new one."""


def read_reply(code: int, lines: Sequence[str]) -> Reply:
    """Make one reply of the lines of a possibly multi-line one (RFC 5321 section 4.2.1).

    The enhanced status, which servers repeat on every line, is taken from the first that has one.
    Control characters go: neither a log nor the database can hold all of them.
    """
    enhanced = ""
    texts = []
    for line in lines:
        match = _ENHANCED.match(line)
        if match:
            enhanced = enhanced or match[1]
            line = line[match.end() :]
        texts.append(_CONTROL.sub(" ", line).strip())
    return Reply(code=code, enhanced=enhanced, text=" ".join(filter(None, texts))[:_MAX_TEXT])


def refusal(reply: Reply, *, phase: Phase, next_hop: str) -> TransportError:
    """Make the error for a reply that is not the one hoped for.

    Before the envelope a 5xx is about the connection and may pass (a full or a moody server), but
    wrong credentials stay wrong.
    """
    message = f"{next_hop} refused {_STEPS[phase]}: {reply}"
    is_permanent = reply.code >= 500
    is_about_credentials = (
        reply.code in _CREDENTIAL_CODES
        or (is_permanent and reply.enhanced in _CREDENTIAL_STATUSES)
        or (is_permanent and phase in (Phase.AUTH, Phase.TLS))
    )
    if is_about_credentials:
        return ConfigurationError(message, phase=phase, reply=reply)
    if is_permanent and phase not in (Phase.CONNECT, Phase.GREETING):
        return PermanentError(message, phase=phase, reply=reply)
    return TransientError(message, phase=phase, reply=reply)
