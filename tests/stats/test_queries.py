"""The figures of the first page are those of the ledger."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sending.models import Message, Status, first_id_since
from stats import queries
from tests.factories.sending import MessageFactory, SendingProfileFactory

pytestmark = pytest.mark.django_db


def made(status: Status, number: int, **fields: Any) -> list[Message]:
    profile = SendingProfileFactory.create()
    return [MessageFactory.create(profile=profile, status=status, **fields) for _ in range(number)]


def test_the_overview_counts_each_message_once() -> None:
    made(Status.SENT, 3)
    made(Status.DELIVERED, 1)
    made(Status.DEFERRED, 2)
    made(Status.QUEUED, 1)
    made(Status.BOUNCED, 1)
    made(Status.FAILED, 1)
    made(Status.SUPPRESSED, 2)
    now = timezone.now()
    overview = queries.overview(since=now - timedelta(hours=24), now=now)
    assert overview.accepted == 9
    assert overview.handed_over == 4
    assert (overview.waiting, overview.deferred) == (1, 2)
    assert overview.in_trouble == 2
    assert overview.suppressed == 2


def test_messages_from_before_are_not_counted_but_those_that_wait_are() -> None:
    now = timezone.now()
    (old,) = made(Status.SENT, 1)
    Message.objects.filter(pk=old.pk).update(id=first_id_since(now - timedelta(hours=25)))
    made(Status.QUEUED, 1, id=first_id_since(now - timedelta(hours=30)))
    overview = queries.overview(since=now - timedelta(hours=24), now=now)
    assert (overview.accepted, overview.waiting) == (0, 1)


def test_the_age_of_the_oldest_overdue_message_is_told() -> None:
    now = timezone.now()
    assert queries.overview(since=now, now=now).oldest_waiting_seconds is None
    made(Status.QUEUED, 1, next_attempt_at=now - timedelta(seconds=90))
    made(Status.DEFERRED, 1, next_attempt_at=now + timedelta(hours=1))
    assert queries.overview(since=now, now=now).oldest_waiting_seconds == 90


def test_the_chart_has_an_hour_for_each_column_and_all_messages_in_it() -> None:
    made(Status.SENT, 2)
    made(Status.BOUNCED, 1)
    chart = queries.hourly_outcomes(now=timezone.now())
    assert len(chart["labels"]) == queries.CHART_HOURS
    assert sum(chart["series"]["handed over"]) == 2
    assert sum(chart["series"]["bounced or failed"]) == 1
    assert all(len(counts) == queries.CHART_HOURS for counts in chart["series"].values())


def test_the_newest_failures_come_first_and_only_failures() -> None:
    failed = made(Status.FAILED, 2) + made(Status.REJECTED, 2)
    made(Status.SENT, 1)
    newest = queries.recent_failures(limit=3)
    assert [message.id for message in newest] == sorted((m.id for m in failed), reverse=True)[:3]
