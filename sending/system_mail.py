"""Send a mail of the installation's own, such as an alert: at once, beside the queue.

It is no message of the ledger, and counts in no figure.
"""

from __future__ import annotations

from uuid import UUID

from django.utils import timezone

from sending.addresses import parse_address
from sending.errors import ConfigurationError, Phase
from sending.models import Route, SenderDomain
from sending.outgoing import Mailbox, Outgoing
from sending.routes import NO_ROUTE, default_route, open_transport
from sending.senders import dkim_key_of

SENDER_NAME = "BillionMail"


def send_now(
    *, identity: UUID, sender: str, recipient: str, subject: str, text: str, route: Route | None
) -> None:
    """Hand over one mail, by the default route when none is given, and wait for the answer.

    `identity`: the same for the same mail sent again, which then has the same Message-ID. Raises
    TransportError when the next hop did not take it, InvalidAddress for what is none.
    """
    way = route or default_route()
    if way is None:
        raise ConfigurationError(NO_ROUTE, phase=Phase.CONNECT)
    own, to = parse_address(sender), parse_address(recipient)
    domain = SenderDomain.objects.filter(domain=own.domain, is_active=True).first()
    transport = open_transport(way)
    try:
        transport.send(
            Outgoing(
                id=identity,
                claim=0,
                envelope_sender=own.address,
                recipient=to.address,
                sender=Mailbox(own.address, SENDER_NAME),
                subject=subject,
                text=text,
                html="",
                message_id=f"<{identity}@{own.domain}>",
                date=timezone.now(),
                headers=(("Auto-Submitted", "auto-generated"),),
                dkim_key=dkim_key_of(domain),
            ),
            before_body=lambda: True,
        )
    finally:
        transport.close()
