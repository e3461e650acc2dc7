"""Set up what BillionMail needs to send: keys, routes, a signing domain, standing orders."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta

from django.utils import timezone

from sending.commands.domains import create_domain
from sending.models import Route, Suppression, Template
from tests.bench import mail
from tests.bench.keys import CHECKED, FAR, PLAIN, SIGNED, Keys
from tests.factories.apikeys import key_with_secret
from tests.factories.sending import RouteFactory, SendingProfileFactory, TemplateFactory

CONNECTIONS = 10  # of each worker: two have as many as smtp-source has sessions
SUPPRESSIONS = 10_000


def prepare(*, port: int, far_port: int, checking_port: int) -> None:
    """Store keys that send the same mail: to the sink, signed, far away, to the checking sink.

    Prints them, for the process that asked: whoever measures does without Django.
    """
    template = TemplateFactory.create(
        version__subject=mail.subject(mail.OUR_PLACES),
        version__html=mail.html(mail.OUR_PLACES),
        version__text=mail.text(mail.OUR_PLACES),
    )
    domain = create_domain(domain="signed.example")
    domain.is_dkim_active = True
    domain.save()
    near = RouteFactory.create(port=port, is_default=True, **_patience())
    far = RouteFactory.create(port=far_port, **_patience())
    checking = RouteFactory.create(port=checking_port, **_patience())
    _suppress_others()
    keys = Keys(
        {
            PLAIN: _key(PLAIN, template=template, route=near),
            SIGNED: _key(SIGNED, template=template, route=near, sender="shop@signed.example"),
            FAR: _key(FAR, template=template, route=far),
            CHECKED: _key(CHECKED, template=template, route=checking, sender="shop@signed.example"),
        },
        dkim_dns_value=domain.dkim_dns_value,
    )
    print(json.dumps(asdict(keys)))


def _patience() -> dict[str, int]:
    """Return a route's size, and its timeouts: a busy machine is no fault of the next hop."""
    return {
        "connections": CONNECTIONS,
        "connect_timeout_seconds": 10,
        "command_timeout_seconds": 60,
        "data_timeout_seconds": 60,
    }


def _key(
    name: str, *, template: Template, route: Route, sender: str = "shop@sender.example"
) -> str:
    key, secret = key_with_secret(name=name)
    SendingProfileFactory.create(
        api_key=key,
        template=template,
        route=route,
        sender_address=sender,
        has_unsubscribe_link=True,
        track_opens=True,
        track_clicks=True,
    )
    return secret


def _suppress_others() -> None:
    """Fill the list that every recipient is looked up in; nobody on it is written to."""
    long_ago = timezone.now() - timedelta(days=30)
    Suppression.objects.bulk_create(
        Suppression(
            address=f"gone{number}@recipient.example",
            reason=Suppression.Reason.UNSUBSCRIBED,
            created_at=long_ago,
        )
        for number in range(SUPPRESSIONS)
    )
