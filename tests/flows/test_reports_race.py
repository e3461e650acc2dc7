"""Reports that come at the same moment, in any order, do not wait for each other for ever."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from django.conf import settings
from django.db import connections

from sending.models import Message, Status, Suppression
from tests.factories.sending import MessageFactory
from tracking.outcomes import record_reports
from tracking.reports import Report
from unsubscribe.commands import unsubscribe
from unsubscribe.models import Unsubscribe

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.integration,
    pytest.mark.skipif(
        "postgresql" not in settings.DATABASES["default"]["ENGINE"],
        reason="SQLite has one writer at a time",
    ),
]

ROUNDS = 25
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def report(message: Message, kind: str, number: int) -> Report:
    return Report(
        kind=kind,
        message_id=message.id,
        recipient=message.recipient,
        occurred_at=NOW,
        key=str(number),
        bounce_class="hard" if kind == "bounced" else "",
        suppress="now" if kind == "bounced" else "",
    )


def test_two_providers_tell_of_the_same_messages_in_another_order_while_people_leave() -> None:
    first, second = (
        MessageFactory.create(recipient=f"{name}@recipient.example", status=Status.SENT)
        for name in ("ann", "bob")
    )
    at_once = threading.Barrier(3)

    def tell(messages: list[Message], start: int) -> None:
        try:
            for number in range(start, start + ROUNDS):
                at_once.wait(60)
                record_reports(
                    [
                        report(messages[0], "opened", number),
                        report(messages[1], "complained", number),
                        report(messages[0], "bounced", number),
                    ]
                )
        finally:
            connections.close_all()

    def leave() -> None:
        try:
            for number in range(ROUNDS):
                at_once.wait(60)
                message = (first, second)[number % 2]
                unsubscribe(message, method=Unsubscribe.Method.PAGE, now=NOW)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(3) as threads:
        for future in [
            threads.submit(tell, [first, second], 0),
            threads.submit(tell, [second, first], ROUNDS),
            threads.submit(leave),
        ]:
            future.result()
    given = set(Suppression.objects.values_list("address", "reason"))
    assert given == {
        (message.recipient, reason)
        for message in (first, second)
        for reason in ("bounced", "complained", "unsubscribed")
    }
