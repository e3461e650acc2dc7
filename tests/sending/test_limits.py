"""A message that a limit stops waits in the queue, says why, and leaves by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from apikeys.models import ApiKey
from sending import delivery, ledger, pacing
from sending.commands import accept_batch, accept_message
from sending.delivery import deliver_due, limits
from sending.errors import Phase, Reply
from sending.ledger import AttemptFacts
from sending.models import Limit, Message, Route, SlowDown, Status
from tests.factories.sending import SendingProfileFactory
from tests.processes import wait_until
from tests.sink import Sink

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]


@pytest.fixture
def key(route: Route) -> ApiKey:
    """A key that sends through the sink."""
    return SendingProfileFactory.create(route=None).api_key


def batch(key: ApiKey, number: int, *, domain: str = "recipient.example") -> None:
    accept_batch(key=key, recipients=[f"r{n}@{domain}" for n in range(number)])


def make_due() -> None:
    """Let the time of every waiting message come."""
    Message.objects.filter(status=Status.DEFERRED).update(next_attempt_at=Now())


def test_limited_message_waits_with_its_reason_and_spares_the_others(
    key: ApiKey, sink: Sink
) -> None:
    Limit.objects.create(messages=1, period=3600, provider="slow.example")
    batch(key, 3, domain="slow.example")
    batch(key, 3)
    deliver_due()
    assert len(sink.recipients) == 4
    waiting = Message.objects.filter(status=Status.DEFERRED).order_by("next_attempt_at")
    hours = [
        round((one.next_attempt_at - timezone.now()).total_seconds() / 3600) for one in waiting
    ]
    assert hours == [1, 2]
    for message in waiting:
        assert message.is_limited
        assert message.reason.startswith("delayed until")
        assert "at most 1 message a hour may go to slow.example" in message.reason
        assert message.events.last().detail == message.reason


def test_waiting_is_no_try_and_does_not_end_its_lifetime(key: ApiKey, sink: Sink) -> None:
    Limit.objects.create(messages=1, period=3600)
    batch(key, 2)
    for _ in range(30):
        deliver_due()
        make_due()
    waiting = Message.objects.get(status=Status.DEFERRED)
    assert (waiting.attempt_count, waiting.lapse_count) == (0, 0)
    assert waiting.attempts.count() == 0
    assert waiting.expires_at - waiting.accepted_at > timedelta(hours=24 + 1)
    Limit.objects.all().delete()
    deliver_due()
    sent = Message.objects.get(pk=waiting.pk)
    assert (sent.status, sent.attempt_count, sent.is_limited) == (Status.SENT, 1, False)
    assert sent.attempts.get().number == 1


def test_limited_message_is_released_without_help(key: ApiKey, sink: Sink, settings) -> None:
    settings.SWEEP_SECONDS = 0.5
    Limit.objects.create(messages=20, period=1)
    batch(key, 40)
    deliverer = delivery.Deliverer()
    deliverer.start()
    wait_until(lambda: len(sink.recipients) == 40)
    deliverer.stop()
    assert set(Message.objects.values_list("status", flat=True)) == {Status.SENT}
    claims = sum(
        message.events.filter(kind=Status.SENDING).count() for message in Message.objects.all()
    )
    assert claims < 3 * 40  # once in vain, once at their time, a few once more


def test_message_that_has_its_time_goes_before_one_that_is_new(key: ApiKey, sink: Sink) -> None:
    Limit.objects.create(messages=1, period=3600)
    batch(key, 2)
    deliver_due()
    first = Message.objects.get(status=Status.DEFERRED)
    accept_message(key=key, recipient="new@recipient.example")
    deliver_due()
    new = Message.objects.get(recipient="new@recipient.example")
    assert new.next_attempt_at > first.next_attempt_at


def test_changed_limits_let_all_who_wait_ask_again(key: ApiKey, sink: Sink) -> None:
    Limit.objects.create(messages=1, period=3600)
    batch(key, 5)
    deliver_due()
    Limit.objects.all().delete()
    assert deliver_due() == 0
    assert ledger.hasten_limited() == 4
    deliver_due()
    assert len(sink.recipients) == 5


@pytest.mark.parametrize("reply", ["421 4.3.2 Busy", "450 4.7.1 Too fast", "451 Rate limited"])
def test_provider_that_asks_to_slow_down_is_heeded_for_all_its_mail(
    key: ApiKey, sink: Sink, reply: str
) -> None:
    sink.replies["r0@busy.example"] = reply
    batch(key, 1, domain="busy.example")
    deliver_due()
    row = SlowDown.objects.get()
    assert (row.provider, row.per_second) == ("busy.example", 1.0)
    assert row.reply == reply
    accept_batch(key=key, recipients=["a@busy.example", "b@busy.example", "c@free.example"])
    deliver_due()
    waiting = Message.objects.get(
        recipient__in=("a@busy.example", "b@busy.example"), is_limited=True
    )
    assert len(sink.recipients) == 2
    assert waiting.recipient not in sink.recipients
    assert "busy.example asked us to slow down" in waiting.reason


@pytest.mark.parametrize("phase", [Phase.CONNECT, Phase.GREETING, Phase.AUTH])
def test_next_hop_that_asks_to_slow_down_by_itself_is_heeded_as_a_route(
    route: Route, phase: Phase
) -> None:
    facts = AttemptFacts(
        route_id=route.pk,
        started_at=timezone.now(),
        duration_ms=1,
        phase=phase,
        reply=Reply(421, "4.3.2", "Too many connections"),
    )
    limits.heed([("ann@recipient.example", facts)])
    row = SlowDown.objects.get()
    assert (row.provider, row.route) == ("", route)


def test_ordinary_refusal_slows_nothing_down(key: ApiKey, sink: Sink) -> None:
    sink.replies["r0@recipient.example"] = "451 4.3.0 Try again later"
    batch(key, 1)
    deliver_due()
    assert not SlowDown.objects.exists()
    assert pacing.pause_seconds(1.0) == 1.0
