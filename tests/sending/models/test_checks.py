"""What the database checks lets through what may be, and is short enough to be read each time."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from sending import bulk, ledger
from sending.models import Event, Message, Status
from sending.models.event import TRANSITIONS
from tests.factories.sending import MessageFactory

pytestmark = pytest.mark.django_db


def test_every_edge_of_the_state_machine_may_be_an_event() -> None:
    message = MessageFactory.create(status=Status.SENT)
    edges = [(before, after) for before in TRANSITIONS for after in TRANSITIONS[before]]
    rows = [
        (message.id, after, before, after, timezone.now(), None, "")
        for before, after in [*edges, ("", "")]
    ]
    bulk.insert(Event, fields=ledger.EVENT_FIELDS, rows=rows)
    assert Event.objects.filter(message=message).count() == len(edges) + 1


def test_a_lease_is_somebodys() -> None:
    message = MessageFactory.create(status=Status.SENT)
    held = {"status": Status.SENDING, "lease_until": timezone.now()}
    with pytest.raises(IntegrityError), transaction.atomic():
        Message.objects.filter(pk=message.pk).update(**held)
    Message.objects.filter(pk=message.pk).update(**held, claim=1)


def test_what_is_read_in_each_statement_is_short() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("Only PostgreSQL reads a condition anew in each statement")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(length(conbin::text)) FROM pg_constraint WHERE contype = 'c'"
            " AND conrelid IN ('sending_message'::regclass, 'sending_event'::regclass)"
        )
        assert cursor.fetchone()[0] < 12_000
