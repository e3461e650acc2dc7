"""A mail to the address in the header is taken, and no other."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from sending.models import Status, Suppression
from tests.factories.sending import MessageFactory
from unsubscribe import tokens
from unsubscribe.receivers import unsubscribe_mail


@pytest.mark.django_db
def test_a_mail_to_the_token_unsubscribes_whoever_it_claims_to_be_from(settings: Any) -> None:
    settings.UNSUBSCRIBE_MAILTO_DOMAIN = "Reports.example"
    message = MessageFactory.create(recipient="ann@recipient.example", status=Status.SENT)
    address = f"{tokens.make_both(message.id)[1]}@reports.example"
    assert unsubscribe_mail.accepts(address)
    mail = b"From: bob@recipient.example\r\n\r\n"
    for _ in range(2):
        told = unsubscribe_mail.take(address, content=mail, now=timezone.now())
        assert told == "unsubscribed"
    assert Suppression.objects.get().address == "ann@recipient.example"


def test_no_other_address_is_taken(settings: Any) -> None:
    local_part = tokens.make_both(uuid4())[1]
    assert not unsubscribe_mail.accepts(f"{local_part}@reports.example")
    settings.UNSUBSCRIBE_MAILTO_DOMAIN = "reports.example"
    assert unsubscribe_mail.accepts(f"{local_part}@reports.example")
    for address in (f"{local_part}@other.example", "u+x@reports.example", "reports.example", ""):
        assert not unsubscribe_mail.accepts(address)
