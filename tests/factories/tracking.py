"""Make hits as they come from the web."""

from __future__ import annotations

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from tests.factories.sending import TemplateVersionFactory
from tracking.hits import Hit
from tracking.models import TrackedLink

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/124.0.0.0 Safari/537.36"
)
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
APPLE_PRIVACY = "Mozilla/5.0"


class HitFactory(factory.Factory):
    """An opening by a person on a desktop; say ``kind="clicked", link=...`` for a click."""

    class Meta:
        model = Hit

    class Params:
        message = None
        link = None

    kind = "opened"
    message_id = factory.LazyAttribute(lambda hit: hit.message.id)
    link_id = factory.LazyAttribute(lambda hit: hit.link.pk if hit.link else None)
    at = factory.LazyFunction(timezone.now)
    ip = "203.0.113.7"
    user_agent = CHROME
    method = "GET"
    has_accept = True
    purpose = ""
    key = factory.Sequence(lambda number: f"segment:{number}")


class TrackedLinkFactory(DjangoModelFactory):
    """A link of a template version."""

    class Meta:
        model = TrackedLink

    template_version = factory.SubFactory(TemplateVersionFactory)
    position = 1
    url = factory.LazyAttribute(lambda link: f"https://shop.example/{link.position}")
