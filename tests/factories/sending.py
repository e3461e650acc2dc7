"""Make everything of `sending` for tests: routes, templates, keys that can send, messages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from sending.models import (
    Attempt,
    Event,
    Message,
    Route,
    SenderDomain,
    SendingProfile,
    Status,
    Suppression,
    Template,
    TemplateVersion,
    new_id_in,
    new_message_id,
)
from sending.models.message import WAITING
from tests.factories.apikeys import ApiKeyFactory


class RouteFactory(DjangoModelFactory):
    """An SMTP server on this machine; give it the port of the test's own."""

    class Meta:
        model = Route

    name = factory.Sequence(lambda number: f"Route {number}")
    kind = Route.Kind.SMTP
    host = "127.0.0.1"
    port = 2525
    tls = Route.Tls.NONE
    connect_timeout_seconds = 2
    command_timeout_seconds = 5
    data_timeout_seconds = 5


class SenderDomainFactory(DjangoModelFactory):
    """A domain to send from, without a DKIM key."""

    class Meta:
        model = SenderDomain

    domain = factory.Sequence(lambda number: f"sender{number}.example")


class TemplateFactory(DjangoModelFactory):
    """A template whose current version greets ``{{.API.name}}``.

    Give the wording as ``version__subject``, ``version__html``, ``version__text``;
    ``version=False`` makes a template without any.
    """

    class Meta:
        model = Template
        skip_postgeneration_save = True

    name = factory.Sequence(lambda number: f"Template {number}")
    slug = factory.Sequence(lambda number: f"template-{number}")

    @factory.post_generation
    def version(template: Template, create: bool, given: Any, **wording: Any) -> None:
        if create and given is None:
            template.current_version = TemplateVersionFactory(template=template, **wording)
            template.save(update_fields=["current_version"])


class TemplateVersionFactory(DjangoModelFactory):
    """One more version of a template; it does not become the current one."""

    class Meta:
        model = TemplateVersion

    template = factory.SubFactory(TemplateFactory)
    number = factory.LazyAttribute(lambda version: version.template.versions.count() + 1)
    subject = "Hello {{.API.name}}"
    html = "<html><body><p>Hello {{.API.name}}</p></body></html>"
    text = ""


class SendingProfileFactory(DjangoModelFactory):
    """What a key sends: complete, so that `profile.api_key` is ready to send; not tracked."""

    class Meta:
        model = SendingProfile

    api_key = factory.SubFactory(ApiKeyFactory)
    template = factory.SubFactory(TemplateFactory)
    sender_address = "shop@sender.example"
    sender_name = "The Shop"
    route = factory.SubFactory(RouteFactory)
    track_opens = False
    track_clicks = False


class MessageFactory(DjangoModelFactory):
    """A message in any status, without its history; say ``status=Status.SENT`` and the like.

    `template_version` and `subject` are pinned as at acceptance. With a `batch_id`, one of its.
    """

    class Meta:
        model = Message

    class Params:
        profile = factory.SubFactory(SendingProfileFactory)

    batch_id = None
    id = factory.LazyAttribute(
        lambda message: new_id_in(message.batch_id) if message.batch_id else new_message_id()
    )
    api_key = factory.LazyAttribute(lambda message: message.profile.api_key)
    template_version = factory.LazyAttribute(
        lambda message: message.profile.template.current_version
    )
    recipient = factory.Sequence(lambda number: f"ann{number}@recipient.example")
    recipient_domain = factory.LazyAttribute(lambda message: message.recipient.partition("@")[2])
    sender_address = factory.LazyAttribute(lambda message: message.profile.sender_address)
    sender_name = factory.LazyAttribute(lambda message: message.profile.sender_name)
    attribs = factory.LazyFunction(lambda: {"name": "Ann"})
    message_id = factory.LazyAttribute(lambda message: f"<{message.id}.5ec3e7@sender.example>")
    status = Status.QUEUED
    accepted_at = factory.LazyFunction(timezone.now)
    status_at = factory.SelfAttribute("accepted_at")
    expires_at = factory.LazyAttribute(lambda message: message.accepted_at + timedelta(hours=24))

    @factory.lazy_attribute
    def next_attempt_at(message: Any) -> Any:
        return message.accepted_at if message.status in WAITING else None

    @factory.lazy_attribute
    def claim(message: Any) -> Any:
        return 1 if message.status == Status.SENDING else None

    @factory.lazy_attribute
    def lease_until(message: Any) -> Any:
        is_leased = message.status == Status.SENDING
        return timezone.now() + timedelta(minutes=1) if is_leased else None


class AttemptFactory(DjangoModelFactory):
    """One try that the next hop answered with 250."""

    class Meta:
        model = Attempt

    message = factory.SubFactory(MessageFactory)
    number = 1
    route = factory.SubFactory(RouteFactory)
    started_at = factory.LazyFunction(timezone.now)
    duration_ms = 40
    phase = "dot"
    outcome = Status.SENT
    reply_code = 250
    enhanced_status = "2.0.0"
    reply_text = "Ok: queued as 4Xyz"


class EventFactory(DjangoModelFactory):
    """One line of a message's history: by default, that it was accepted."""

    class Meta:
        model = Event

    message = factory.SubFactory(MessageFactory)
    kind = Status.QUEUED
    status_after = factory.SelfAttribute("kind")
    occurred_at = factory.LazyFunction(timezone.now)

    @classmethod
    def _create(cls, model_class: type[Event], *args: Any, **fields: Any) -> Event:
        # The log is append-only: its rows are inserted, never saved.
        return model_class.objects.bulk_create([model_class(**fields)])[0]


class SuppressionFactory(DjangoModelFactory):
    """A standing order about one address."""

    class Meta:
        model = Suppression

    address = factory.Sequence(lambda number: f"gone{number}@recipient.example")
    reason = Suppression.Reason.UNSUBSCRIBED
    created_at = factory.LazyFunction(timezone.now)
