"""Facts about a message arrive thrice and in any order; where it ends does not depend on that."""

from __future__ import annotations

import os
from itertools import pairwise
from random import Random

import pytest
from django.utils import timezone

from sending import ledger
from sending.models import Event, Message, Status
from tests.factories.sending import EventFactory, MessageFactory

pytestmark = [pytest.mark.django_db, pytest.mark.integration]

ORDERS = 40
# What is reported of one sent message, and the one state that it may lead to.
REPORTS = [
    ((Status.DELIVERED,), Status.DELIVERED),
    ((Status.BOUNCED,), Status.BOUNCED),
    ((Status.DELIVERED, Status.BOUNCED), Status.BOUNCED),  # taken, then returned
    ((Status.DELIVERED, Status.COMPLAINED), Status.COMPLAINED),
    ((Status.DELIVERED, Status.BOUNCED, Status.COMPLAINED), Status.COMPLAINED),
]


def sent_message() -> Message:
    message = MessageFactory.create(status=Status.SENT)
    chain = ["", Status.QUEUED, Status.SENDING, Status.SENT]
    for before, after in pairwise(chain):
        EventFactory.create(message=message, kind=after, status_before=before, status_after=after)
    return message


@pytest.mark.parametrize(("reports", "end"), REPORTS)
@pytest.mark.parametrize("start", [Status.SENT, Status.UNKNOWN])
def test_reports_in_any_order_end_in_the_same_state(
    reports: tuple[Status, ...], end: Status, start: Status
) -> None:
    dice = Random(os.environ["FAULT_SEED"])
    message = sent_message()
    for _ in range(ORDERS // len(REPORTS)):
        Message.objects.filter(pk=message.pk).update(status=start)
        told = dice.sample(reports * 3, len(reports) * 3)
        for status in told:
            ledger.report(message, kind=status, status=status, now=timezone.now(), detail="")
        message.refresh_from_db()
        assert message.status == end, told


def test_reports_leave_an_unbroken_history() -> None:
    message = sent_message()
    for status in (Status.BOUNCED, Status.DELIVERED, Status.BOUNCED, Status.COMPLAINED) * 3:
        ledger.report(message, kind=status, status=status, now=timezone.now(), detail="")
    links = list(
        Event.objects.filter(message=message)
        .exclude(status_after="")
        .order_by("id")
        .values_list("status_before", "status_after")
    )
    message.refresh_from_db()
    assert [before for before, _ in links] == ["", *(after for _, after in links[:-1])]
    assert links[-1][1] == message.status == Status.COMPLAINED
