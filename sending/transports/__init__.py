"""Hand finished messages to the next hop: to add a transport, see ``base``."""

from sending.transports.anymail import AnymailTransport
from sending.transports.base import Finding, Receipt, Transport
from sending.transports.simulator import SimulatorTransport
from sending.transports.smtp import SmtpTransport

__all__ = [
    "AnymailTransport",
    "Finding",
    "Receipt",
    "SimulatorTransport",
    "SmtpTransport",
    "Transport",
]
