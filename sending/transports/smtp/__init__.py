"""Speak SMTP: our own driver, which knows how far each message got.

``wire`` moves octets, ``session`` opens a connection, ``envelope`` writes commands and the body,
``transaction`` carries one message, ``transport`` keeps a connection over many.
"""

from sending.transports.smtp.transport import SmtpTransport

__all__ = ["SmtpTransport"]
