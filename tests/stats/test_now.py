"""The queue and the newest failures are told as they are, whatever happened before."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from sending.models import Message, Status, first_id_since
from stats import queries, rollups
from stats.queries import Cut
from stats.queries import now as looks
from tests.factories.sending import EventFactory, MessageFactory, SendingProfileFactory
from tests.stats.stories import accepted, answered, handed_off

pytestmark = pytest.mark.django_db


def test_the_queue_is_empty_where_nothing_is() -> None:
    queue = queries.queue(now=timezone.now())
    assert (queue.waiting, queue.sending, queue.deferred, queue.per_minute) == (0, 0, 0, 0)
    assert queue.overdue_seconds is None
    assert queue.lapsed_seconds is None
    assert queue.seconds_left is None


def test_what_waits_is_told_with_what_of_it_is_sent_and_deferred() -> None:
    profile = SendingProfileFactory.create()
    answered(handed_off(profile, number=3))
    answered(handed_off(profile, number=2), Status.DEFERRED, reason="451 Later")
    handed_off(profile)
    accepted(profile, number=4)
    rollups.roll()
    queue = queries.queue(now=timezone.now())
    assert (queue.waiting, queue.sending, queue.deferred) == (7, 1, 2)
    assert queue.per_minute > 0
    # Three were sent since the first event; what is deferred comes by itself later.
    assert queue.seconds_left == pytest.approx(5 * 60 / queue.per_minute)


def test_only_what_was_sent_of_late_is_the_rate() -> None:
    now = timezone.now()
    message = MessageFactory.create(status=Status.SENT)
    for seconds in (10, 20, 30, 120):
        EventFactory.create(
            message=message,
            kind=Status.SENT,
            status_before=Status.SENDING,
            occurred_at=now - timedelta(seconds=seconds),
        )
    assert queries.queue(now=now).per_minute == 3


def test_what_is_overdue_or_held_too_long_is_told() -> None:
    now = timezone.now()
    MessageFactory.create(status=Status.QUEUED, next_attempt_at=now - timedelta(seconds=90))
    MessageFactory.create(
        status=Status.DEFERRED, priority=1, next_attempt_at=now + timedelta(hours=1)
    )
    held = MessageFactory.create(status=Status.SENDING)
    MessageFactory.create(status=Status.UNKNOWN)
    queue = queries.queue(now=now)
    assert (queue.overdue_seconds, queue.lapsed_seconds, queue.unknown) == (90, None, 1)
    Message.objects.filter(pk=held.pk).update(lease_until=now - timedelta(seconds=200))
    assert queries.queue(now=now).lapsed_seconds == 200


def test_the_newest_failures_come_first_and_only_failures() -> None:
    failed = [
        MessageFactory.create(status=status, reason=f"550 {status}")
        for status in (Status.FAILED, Status.REJECTED, Status.BOUNCED, Status.EXPIRED)
    ]
    MessageFactory.create(status=Status.SENT)
    newest = queries.trouble(limit=3).failures
    assert [one.message_id for one in newest] == sorted((m.id for m in failed), reverse=True)[:3]
    assert newest[0].reason == "550 expired"


def test_deferred_mail_is_told_by_its_reasons() -> None:
    for reason, number in (("451 Later", 1), ("421 Busy", 3)):
        for _ in range(number):
            MessageFactory.create(status=Status.DEFERRED, reason=reason)
    assert queries.trouble(limit=3).reasons == [("421 Busy", 3), ("451 Later", 1)]


def ids_in_order(number: int) -> list[UUID]:
    """Return ids of one second after the other: those of one millisecond are in any order."""
    now = timezone.now()
    return [first_id_since(now + timedelta(seconds=place)) for place in range(number)]


def test_failures_of_one_key_are_those_among_the_newest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(looks, "FAILURES_OF_KEY", 2)
    profile, other = SendingProfileFactory.create_batch(2)
    ids = ids_in_order(3)
    MessageFactory.create(id=ids[0], profile=profile, status=Status.FAILED)
    near = MessageFactory.create(id=ids[1], profile=profile, status=Status.FAILED)
    MessageFactory.create(id=ids[2], profile=other, status=Status.FAILED)
    now = timezone.now()
    keys = frozenset([profile.api_key_id])
    cut = Cut(start=now - timedelta(days=1), end=now + timedelta(minutes=1), keys=keys)
    found = queries.trouble(limit=5, cut=cut).failures
    assert [one.message_id for one in found] == [near.pk]


def test_failures_of_a_cut_are_those_of_messages_accepted_in_it() -> None:
    now = timezone.now()
    old = MessageFactory.create(
        id=first_id_since(now - timedelta(days=9)), status=Status.FAILED, status_at=now
    )
    MessageFactory.create(status=Status.FAILED)
    cut = Cut(start=now - timedelta(days=10), end=now - timedelta(days=8))
    found = queries.trouble(limit=5, cut=cut).failures
    assert [one.message_id for one in found] == [old.pk]


def test_newest_messages_of_a_key_come_first() -> None:
    profile = SendingProfileFactory.create()
    messages = [MessageFactory.create(id=one, profile=profile) for one in ids_in_order(3)]
    MessageFactory.create()
    found = queries.newest_messages(profile.api_key_id, limit=2)
    assert [one.pk for one in found] == [messages[2].pk, messages[1].pk]
