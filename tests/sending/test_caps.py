"""A recipient gets so much bulk mail a day and a week, and no more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apikeys.models import ApiKey
from sending import caps, ledger
from sending.commands import accept_message
from sending.commands.suppressions import check_addresses
from sending.delivery import deliver_due
from sending.models import BulkPlace, Message, Route, SendingProfile, Status, Stream
from sending.tasks import forget_old_places
from tests.factories.sending import MessageFactory, SendingProfileFactory
from tests.sink import Sink

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

ANN = "ann@recipient.example"


@pytest.fixture
def news(route: Route) -> ApiKey:
    return SendingProfileFactory.create(route=None, stream=Stream.BULK).api_key


@pytest.fixture
def receipts(route: Route) -> ApiKey:
    return SendingProfileFactory.create(route=None, stream=Stream.TRANSACTIONAL).api_key


def send(key: ApiKey, recipient: str = ANN) -> Message:
    """Accept and deliver; return what became of it."""
    message = accept_message(key=key, recipient=recipient)
    deliver_due()
    message.refresh_from_db()
    return message


def let_pass(span: timedelta) -> None:
    """Let all mail have left so much earlier."""
    for message in Message.objects.exclude(handed_off_at=None):
        Message.objects.filter(pk=message.pk).update(handed_off_at=message.handed_off_at - span)


def test_what_is_over_the_cap_is_not_sent_and_says_why(
    news: ApiKey, sink: Sink, settings: Any
) -> None:
    settings.BULK_CAP_PER_DAY = 2
    assert [send(news).status, send(news, "Ann@recipient.example").status] == ["sent", "sent"]
    third = send(news)
    assert third.status == Status.SUPPRESSED
    assert third.reason == (
        f"capped: {ANN} has got enough mail for now (rule 2 bulk mails in 24 hours)"
    )
    assert third.events.latest("id").detail == third.reason
    assert send(news, "bob@recipient.example").status == Status.SENT
    assert len(sink.recipients) == 3
    (finding,) = check_addresses([ANN], key=news)
    assert str(finding) == third.reason


def test_transactional_mail_is_neither_counted_nor_stopped(
    news: ApiKey, receipts: ApiKey, settings: Any
) -> None:
    settings.BULK_CAP_PER_DAY = 1
    statuses = [send(key).status for key in (receipts, receipts, news, news, receipts)]
    assert statuses == ["sent", "sent", "sent", "suppressed", "sent"]
    assert check_addresses([ANN], key=receipts)[0].blocked_by is None


def test_a_day_and_a_week_later_there_is_room_again(news: ApiKey, settings: Any) -> None:
    settings.BULK_CAP_PER_DAY, settings.BULK_CAP_PER_WEEK = 1, 2
    assert [send(news).status, send(news).status] == ["sent", "suppressed"]
    let_pass(timedelta(hours=25))
    assert [send(news).status, send(news).status] == ["sent", "suppressed"]
    let_pass(timedelta(hours=25))
    weekly = send(news)
    assert "2 bulk mails in 7 days" in weekly.reason
    let_pass(timedelta(days=6))
    assert send(news).status == Status.SENT


def test_a_key_may_have_a_cap_of_its_own_or_none_and_counts_for_the_others(
    news: ApiKey, settings: Any
) -> None:
    settings.BULK_CAP_PER_DAY = 1
    free = SendingProfileFactory.create(route=None, stream=Stream.BULK, bulk_per_day=0).api_key
    wide = SendingProfileFactory.create(route=None, stream=Stream.BULK, bulk_per_day=4).api_key
    assert [send(key).status for key in (free, free, news)] == ["sent", "sent", "suppressed"]
    assert [send(wide).status for _ in range(3)] == ["sent", "sent", "suppressed"]


def test_a_cap_of_one_key_counts_its_own_mail_alone(news: ApiKey) -> None:
    SendingProfile.objects.filter(pk=news.pk).update(bulk_per_week=1)
    other = SendingProfileFactory.create(route=None, stream=Stream.BULK).api_key
    statuses = [send(key).status for key in (other, news, other, news)]
    assert statuses == ["sent", "sent", "sent", "suppressed"]


def test_what_did_not_arrive_leaves_room_and_what_waits_keeps_its_place(
    news: ApiKey, sink: Sink, settings: Any
) -> None:
    settings.BULK_CAP_PER_DAY = 1
    sink.replies[ANN] = "554 5.7.1 Not like that"
    assert send(news).status == Status.REJECTED
    sink.replies[ANN] = "451 4.3.0 Later"
    waiting = send(news)
    assert waiting.status == Status.DEFERRED
    del sink.replies[ANN]
    assert send(news).status == Status.SUPPRESSED
    Message.objects.filter(pk=waiting.pk).update(next_attempt_at=timezone.now())
    deliver_due()
    waiting.refresh_from_db()
    assert waiting.status == Status.SENT


def test_without_a_cap_nothing_is_asked_and_nothing_kept(
    news: ApiKey, django_assert_num_queries: Any
) -> None:
    accept_message(key=news, recipient=ANN)
    messages = ledger.claim(limit=10)
    profiles = SendingProfile.objects.in_bulk()
    with django_assert_num_queries(0):
        assert caps.take_places(messages, profiles) == {}
        assert caps.would_exceed([ANN], profiles[news.pk]) == {}


def test_a_whole_claim_is_decided_in_as_many_queries_as_one_message(
    settings: Any, django_assert_max_num_queries: Any
) -> None:
    settings.BULK_CAP_PER_DAY = 1
    profile = SendingProfileFactory.create(stream=Stream.BULK)
    messages = [MessageFactory.create(profile=profile, stream=Stream.BULK) for _ in range(50)]
    same = [
        MessageFactory.create(profile=profile, stream=Stream.BULK, recipient=ANN) for _ in range(3)
    ]
    with django_assert_max_num_queries(6):
        over = caps.take_places([*messages, *same], {profile.pk: profile})
    assert set(over) == {one.id for one in same[1:]}
    assert BulkPlace.objects.count() == 51


def test_places_that_count_no_more_are_removed(settings: Any) -> None:
    old = timezone.now() - timedelta(days=8)
    for status, left_at in (
        (Status.SENT, old),
        (Status.SENT, timezone.now()),
        (Status.QUEUED, None),
    ):
        message = MessageFactory.create(status=status, handed_off_at=left_at)
        BulkPlace.objects.create(message=message, address=ANN, taken_at=old)
    forget_old_places()
    assert BulkPlace.objects.count() == 2
