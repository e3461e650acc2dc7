"""Set up what the product needs to send to the sink."""

from __future__ import annotations

from tests.factories.apikeys import key_with_secret
from tests.factories.sending import RouteFactory, SendingProfileFactory, TemplateFactory


def ready_key(*, html: str, sink_port: int) -> str:
    """Return the secret of a key whose mail goes to the sink, unsubscribe link included."""
    key, secret = key_with_secret(name="Bench")
    SendingProfileFactory.create(
        api_key=key,
        template=TemplateFactory.create(
            version__subject="An offer for {{.API.name}}",
            version__html=html,
            version__text="Dear {{.API.name}}, see https://shop.example/",
        ),
        has_unsubscribe_link=True,
        route=RouteFactory.create(port=sink_port, is_default=True, connections=10),
    )
    return secret
