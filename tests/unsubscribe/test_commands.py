"""A no said by mail counts by its token alone."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.utils import timezone

from sending.models import Event, Status, Suppression
from tests.factories.sending import MessageFactory
from unsubscribe import tokens
from unsubscribe.commands import unsubscribe_by_mail
from unsubscribe.models import Unsubscribe

pytestmark = pytest.mark.django_db


def test_a_mail_to_the_address_in_the_header_unsubscribes_once() -> None:
    message = MessageFactory.create(recipient="Ann@recipient.example", status=Status.SENT)
    _, local_part = tokens.make_both(message.id)
    for _ in range(2):
        assert unsubscribe_by_mail(local_part.upper(), now=timezone.now())
    order = Suppression.objects.get()
    assert (order.address, order.reason) == ("ann@recipient.example", "unsubscribed")
    assert order.source_message == message
    assert Unsubscribe.objects.get().method == Unsubscribe.Method.MAIL
    assert Event.objects.filter(kind="unsubscribed").count() == 1


@pytest.mark.parametrize("local_part", ["", "unsubscribe", "u+" + "a" * 56])
def test_a_mail_to_any_other_address_changes_nothing(local_part: str) -> None:
    assert not unsubscribe_by_mail(local_part, now=timezone.now())
    assert not unsubscribe_by_mail(tokens.make_both(uuid4())[1], now=timezone.now())
    assert not Suppression.objects.exists()


def test_a_no_takes_waiting_mail_out_of_the_queue_at_once() -> None:
    written = ["Ann@recipient.example", "ann@recipient.example", "ann@recipient.example"]
    states = [Status.QUEUED, Status.DEFERRED, Status.SENDING]
    waiting = [
        MessageFactory.create(recipient=recipient, status=status)
        for recipient, status in zip(written, states, strict=True)
    ]
    other = MessageFactory.create(recipient="bob@recipient.example")
    _, local_part = tokens.make_both(waiting[0].id)
    unsubscribe_by_mail(local_part, now=timezone.now())
    for message, before in zip(waiting, states, strict=True):
        message.refresh_from_db()
        assert message.status == Status.SUPPRESSED
        assert "has unsubscribed" in message.reason
        assert message.events.filter(status_before=before, status_after="suppressed").count() == 1
    other.refresh_from_db()
    assert other.status == Status.QUEUED


def test_what_was_handed_off_is_left_to_its_answer() -> None:
    message = MessageFactory.create(status=Status.SENDING, handed_off_at=timezone.now())
    _, local_part = tokens.make_both(message.id)
    unsubscribe_by_mail(local_part, now=timezone.now())
    message.refresh_from_db()
    assert message.status == Status.SENDING


def test_mail_of_a_key_that_does_not_heed_unsubscribes_stays_in_the_queue() -> None:
    receipt = MessageFactory.create(recipient="ann@recipient.example")
    type(receipt.api_key.sending_profile).objects.update(heeds_unsubscribes=False)
    offer = MessageFactory.create(
        recipient="ann@recipient.example", stream="bulk", profile=receipt.api_key.sending_profile
    )
    _, local_part = tokens.make_both(offer.id)
    unsubscribe_by_mail(local_part, now=timezone.now())
    receipt.refresh_from_db()
    offer.refresh_from_db()
    assert (receipt.status, offer.status) == (Status.QUEUED, Status.SUPPRESSED)
