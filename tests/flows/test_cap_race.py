"""Nobody gets more bulk mail than the cap says, whatever eight workers hold at one moment."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as configured
from django.utils import timezone

from sending.commands import accept_batch
from sending.delivery import deliver_due
from sending.models import Message, Route, Status, Stream
from tests.factories.sending import SendingProfileFactory
from tests.flows.test_unsubscribe_race import in_thread
from tests.sink import Sink

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.integration,
    pytest.mark.skipif(
        "postgresql" not in configured.DATABASES["default"]["ENGINE"],
        reason="SQLite has one writer at a time",
    ),
]

WORKERS = 8
RECIPIENTS = 40
BATCHES = 6
CAP = 2


def test_eight_workers_send_each_recipient_exactly_as_much_as_the_cap_says(
    route: Route, sink: Sink, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sending.delivery.run.CLAIM_SIZE", 1)
    settings.BULK_CAP_PER_DAY = CAP
    Route.objects.update(connections=2, connect_timeout_seconds=30, command_timeout_seconds=30)
    recipients = [f"r{number}@recipient.example" for number in range(RECIPIENTS)]
    for _ in range(BATCHES):
        key = SendingProfileFactory.create(route=None, stream=Stream.BULK).api_key
        accept_batch(key=key, recipients=recipients)
    # All mail to a recipient is due at the same moment, so that the workers share it.
    for number, recipient in enumerate(recipients):
        due_at = timezone.now() - timedelta(seconds=RECIPIENTS - number)
        Message.objects.filter(recipient=recipient).update(next_attempt_at=due_at)

    with ThreadPoolExecutor(WORKERS) as threads:
        for worker in [threads.submit(in_thread(deliver_due)) for _ in range(WORKERS)]:
            worker.result()

    assert Counter(sink.recipients) == dict.fromkeys(recipients, CAP)
    assert Message.objects.filter(status=Status.SENT).count() == RECIPIENTS * CAP
    capped = Message.objects.filter(status=Status.SUPPRESSED, reason__startswith="capped: ")
    assert capped.count() == RECIPIENTS * (BATCHES - CAP)
