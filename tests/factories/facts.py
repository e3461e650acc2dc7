"""Make facts as they are told of a message."""

from __future__ import annotations

import factory
from django.utils import timezone

from sending.ledger import Fact
from sending.models import Status


class FactFactory(factory.Factory):
    """A report that the message was delivered, with a key of its own."""

    class Meta:
        model = Fact

    class Params:
        message = None

    message_id = factory.LazyAttribute(lambda fact: fact.message.id)
    status = Status.DELIVERED
    kind = factory.LazyAttribute(lambda fact: str(fact.status))
    occurred_at = factory.LazyFunction(timezone.now)
    key = factory.Sequence(lambda number: f"provider:{number}")
    detail = ""
