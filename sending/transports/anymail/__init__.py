"""Use any Django e-mail backend as a transport: ``transport`` sends, ``errors`` names failures."""

from sending.transports.anymail.transport import AnymailTransport

__all__ = ["AnymailTransport"]
