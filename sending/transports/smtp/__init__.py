"""Speak SMTP: our own driver, which knows how far each message got.

``wire`` moves octets, ``session`` opens a connection, ``envelope`` writes commands and the body,
``transaction`` knows the course of one message, ``transport`` carries messages one by one and
waits for each, ``channel`` carries them for a loop that never waits.
"""

from sending.transports.smtp.channel import Channel
from sending.transports.smtp.session import Session
from sending.transports.smtp.transaction import StaleConnection, Transaction, content_of
from sending.transports.smtp.transport import MAX_MESSAGES_PER_CONNECTION, SmtpTransport
from sending.transports.smtp.wire import ConnectionLost

__all__ = [
    "MAX_MESSAGES_PER_CONNECTION",
    "Channel",
    "ConnectionLost",
    "Session",
    "SmtpTransport",
    "StaleConnection",
    "Transaction",
    "content_of",
]
