"""Delivery hands every due message to the next hop, once, and records what it said."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models.functions import Now
from django.test import override_settings
from django.utils import timezone

from apikeys.models import ApiKey
from sending import delivery, ledger
from sending.commands import accept_batch, accept_message, cancel, resend
from sending.delivery import Deliverer, deliver_due, run
from sending.delivery.assembly import assemble
from sending.models import Attempt, Message, Priority, Route, SendingProfile, Status, Suppression
from sending.suppressions import suppress
from tests.factories.sending import RouteFactory, SendingProfileFactory, TemplateFactory
from tests.sink import Sink, free_port

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

ANN = "ann@recipient.example"
BOB = "bob@recipient.example"


@pytest.fixture
def key(route: Route) -> ApiKey:
    """A key that sends through the sink."""
    return SendingProfileFactory.create(route=None).api_key


def make_due() -> None:
    """Let the time of every waiting message come."""
    Message.objects.filter(status=Status.DEFERRED).update(next_attempt_at=Now())


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_many_messages_arrive_once_each_over_a_few_connections(key: ApiKey, sink: Sink) -> None:
    recipients = [f"r{number}@recipient.example" for number in range(300)]
    accept_batch(key=key, recipients=recipients)
    assert deliver_due() == 300
    assert sorted(sink.recipients) == sorted(recipients)
    assert Message.objects.filter(status=Status.SENT).count() == 300
    assert deliver_due() == 0


def test_a_refused_recipient_bounces_is_suppressed_and_spares_its_neighbours(
    key: ApiKey, sink: Sink
) -> None:
    sink.replies[ANN] = "550 5.1.1 No such user here"
    accept_batch(key=key, recipients=[ANN, BOB])
    deliver_due()
    bounced = Message.objects.get(recipient=ANN)
    assert bounced.status == Status.BOUNCED
    assert bounced.reason == "550 5.1.1 No such user here"
    assert sink.recipients == [BOB]
    order = Suppression.objects.get()
    assert (order.address, order.reason) == (ANN, Suppression.Reason.HARD_BOUNCE)
    assert order.source_message == bounced


@pytest.mark.parametrize(
    ("reply", "needed"),
    [("554 Transaction failed", 3), ("550 5.1.1 Gone", 1)],
)
def test_an_address_is_suppressed_when_its_refusals_add_up(
    key: ApiKey, sink: Sink, reply: str, needed: int
) -> None:
    sink.replies[ANN] = reply
    for number in range(1, needed + 1):
        accept_message(key=key, recipient=ANN)
        deliver_due()
        assert Suppression.objects.exists() is (number == needed)


def test_a_domain_that_is_unknown_once_is_not_suppressed(key: ApiKey, sink: Sink) -> None:
    sink.replies[ANN] = "550 5.1.2 Host unknown"
    for _ in range(2):
        accept_message(key=key, recipient=ANN)
        deliver_due()
    assert Message.objects.filter(status=Status.BOUNCED).count() == 2
    assert not Suppression.objects.exists()
    Attempt.objects.filter(pk=Attempt.objects.earliest("id").pk).update(
        started_at=timezone.now() - timedelta(hours=1)
    )
    accept_message(key=key, recipient=ANN)
    deliver_due()
    assert Suppression.objects.get().note == "550 5.1.2 Host unknown"


def test_a_policy_refusal_is_rejected_and_never_suppresses(key: ApiKey, sink: Sink) -> None:
    sink.replies[ANN] = "550 5.7.1 Blocked: your address is on a list"
    accept_message(key=key, recipient=ANN)
    deliver_due()
    assert Message.objects.get().status == Status.REJECTED
    assert not Suppression.objects.exists()


def test_a_temporary_refusal_is_tried_again_later_under_the_same_message_id(
    key: ApiKey, sink: Sink
) -> None:
    sink.replies[ANN] = "451 4.3.0 Try again later"
    message = accept_message(key=key, recipient=ANN)
    deliver_due()
    deferred = Message.objects.get()
    assert deferred.status == Status.DEFERRED
    assert deferred.next_attempt_at > timezone.now() + timedelta(seconds=20)
    assert deliver_due() == 0

    del sink.replies[ANN]
    make_due()
    deliver_due()
    assert Message.objects.get().status == Status.SENT
    assert sink.messages[0]["Message-ID"] == message.message_id
    assert [row.outcome for row in message.attempts.order_by("number")] == ["deferred", "sent"]


def test_an_absent_next_hop_defers_the_mail_and_loses_nothing(key: ApiKey, sink: Sink) -> None:
    Route.objects.update(port=free_port())
    accept_message(key=key, recipient=ANN)
    deliver_due()
    assert Message.objects.get().status == Status.DEFERRED
    Route.objects.update(port=sink.port)
    make_due()
    deliver_due()
    assert sink.recipients == [ANN]


def test_without_a_route_nothing_is_accepted_and_what_waits_says_why(key: ApiKey) -> None:
    message = accept_message(key=key, recipient=ANN)
    Route.objects.update(is_active=False)
    deliver_due()
    message.refresh_from_db()
    assert message.status == Status.DEFERRED
    assert "add a default route" in message.reason


def test_a_recipient_who_says_no_after_acceptance_gets_nothing(key: ApiKey, sink: Sink) -> None:
    accept_batch(key=key, recipients=[ANN, BOB])
    suppress(ANN, reason=Suppression.Reason.UNSUBSCRIBED, now=timezone.now())
    deliver_due()
    assert sink.recipients == [BOB]
    refused = Message.objects.get(recipient=ANN)
    assert refused.status == Status.SUPPRESSED
    assert "has unsubscribed" in refused.reason


def test_a_mail_that_cannot_be_made_fails_and_spares_its_neighbours(
    key: ApiKey, sink: Sink
) -> None:
    accept_message(key=key, recipient=ANN)
    SendingProfile.objects.update(subject="{{ broken")
    accept_message(key=key, recipient=BOB)
    deliver_due()
    assert sink.recipients == [ANN]
    failed = Message.objects.get(recipient=BOB)
    assert failed.status == Status.FAILED
    assert "The mail cannot be made: Line 1" in failed.reason


def test_the_template_version_is_pinned_at_acceptance(key: ApiKey, sink: Sink) -> None:
    accept_message(key=key, recipient=ANN)
    template = SendingProfile.objects.get().template
    newer = TemplateFactory.create(version__subject="Newer").current_version
    newer.template, newer.number = template, 2
    newer.save()
    template.current_version = newer
    template.save()
    accept_message(key=key, recipient=BOB)
    deliver_due()
    subjects = {mail["To"]: mail["Subject"] for mail in sink.messages}
    assert subjects == {ANN: "Hello ", BOB: "Newer"}


def test_two_keys_with_routes_of_their_own_use_them(key: ApiKey, sink: Sink) -> None:
    other = Sink()
    other.start()
    try:
        apart = SendingProfileFactory.create(route=RouteFactory.create(port=other.port))
        accept_message(key=key, recipient=ANN)
        accept_message(key=apart.api_key, recipient=BOB)
        deliver_due()
        assert (sink.recipients, other.recipients) == ([ANN], [BOB])
    finally:
        other.stop()


def test_a_route_over_any_django_backend_delivers_too(key: ApiKey, sink: Sink) -> None:
    Route.objects.update(
        kind=Route.Kind.ANYMAIL,
        backend="django.core.mail.backends.smtp.EmailBackend",
        options=f'{{"host": "127.0.0.1", "port": {sink.port}}}',
    )
    message = accept_message(key=key, recipient=ANN)
    deliver_due()
    assert Message.objects.get().status == Status.SENT
    assert sink.messages[0]["Message-ID"] == message.message_id


def test_a_route_that_cannot_be_opened_defers_the_mail_and_says_why(
    key: ApiKey, sink: Sink
) -> None:
    Route.objects.update(kind=Route.Kind.ANYMAIL, backend="no.such.Backend", options="{}")
    accept_message(key=key, recipient=ANN)
    deliver_due()
    message = Message.objects.get()
    assert message.status == Status.DEFERRED
    assert "no.such.Backend" in message.reason


def test_a_failed_message_can_be_sent_again_by_hand(key: ApiKey, sink: Sink) -> None:
    sink.replies[ANN] = "550 5.7.1 Not now"
    message = accept_message(key=key, recipient=ANN)
    deliver_due()
    sink.replies.clear()
    assert resend([message.id], by="admin") == 1
    deliver_due()
    assert sink.recipients == [ANN]


def test_a_canceled_message_is_not_sent(key: ApiKey, sink: Sink) -> None:
    message = accept_message(key=key, recipient=ANN)
    assert cancel([message.id], by="admin") == 1
    deliver_due()
    assert sink.recipients == []


@pytest.fixture
def deliverer() -> Iterator[Deliverer]:
    """A worker's deliverer, sweeping often."""
    with override_settings(SWEEP_SECONDS=0.05):
        running = Deliverer()
        running.start()
        yield running
        running.stop()


def test_the_sweep_sends_what_no_bell_announced(
    key: ApiKey, sink: Sink, deliverer: Deliverer
) -> None:
    accept_message(key=key, recipient=ANN)
    wait_for(lambda: sink.recipients == [ANN])
    wait_for(lambda: Message.objects.get().status == Status.SENT)


def test_connections_stay_open_from_one_message_to_the_next(
    key: ApiKey, sink: Sink, deliverer: Deliverer
) -> None:
    for number in range(5):
        accept_message(key=key, recipient=f"r{number}@recipient.example")
        wait_for(lambda wanted=number + 1: len(sink.envelopes) == wanted)
    assert sink.connections == 1


def test_a_changed_route_is_used_from_the_next_message_on(
    key: ApiKey, sink: Sink, deliverer: Deliverer
) -> None:
    accept_message(key=key, recipient=ANN)
    wait_for(lambda: sink.recipients == [ANN])
    other = Sink()
    other.start()
    try:
        Route.objects.update(port=other.port)
        accept_message(key=key, recipient=BOB)
        wait_for(lambda: other.recipients == [BOB])
    finally:
        other.stop()


def test_stopping_gives_back_what_was_not_begun(key: ApiKey, sink: Sink) -> None:
    sink.delay_seconds = 0.3
    accept_batch(key=key, recipients=[f"r{number}@recipient.example" for number in range(40)])
    running = Deliverer()
    running.start()
    wait_for(lambda: Message.objects.filter(handed_off_at__isnull=False).exists())
    running.stop()
    assert not running.is_running()
    statuses = set(Message.objects.values_list("status", flat=True))
    assert statuses == {Status.SENT, Status.QUEUED}
    assert Message.objects.filter(status=Status.SENT).count() == len(sink.envelopes)
    given_back = Message.objects.filter(status=Status.QUEUED)
    assert set(given_back.values_list("attempt_count", flat=True)) == {0}


def test_a_lost_lease_keeps_the_body_off_the_wire(
    key: ApiKey, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept_message(key=key, recipient=ANN)
    begin = ledger.begin_handoff

    def after_the_lease_ended(*args: Any, **kwargs: Any) -> Any:
        Message.objects.update(lease_until=Now() - timedelta(seconds=1))
        return begin(*args, **kwargs)

    monkeypatch.setattr(ledger, "begin_handoff", after_the_lease_ended)
    deliver_due()
    assert sink.envelopes == []


def test_the_bell_wakes_a_deliverer_and_delivers_by_itself_where_there_is_none(
    key: ApiKey, sink: Sink
) -> None:
    accept_message(key=key, recipient=ANN)
    delivery.deliver_soon()
    assert sink.recipients == [ANN]
    with override_settings(SWEEP_SECONDS=60):
        delivery.start()
        try:
            wait_for(lambda: any(t.name == "deliverer" for t in threading.enumerate()))
            time.sleep(0.2)
            accept_message(key=key, recipient=BOB)
            delivery.deliver_soon()
            wait_for(lambda: sink.recipients == [ANN, BOB])
        finally:
            delivery.stop()


def test_a_defect_in_making_one_mail_holds_up_no_other(
    key: ApiKey, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept_batch(key=key, recipients=[ANN, BOB])

    def broken_for_ann(message: Message, **kwargs: Any) -> Any:
        if message.recipient == ANN:
            raise ZeroDivisionError("a defect")
        return assemble(message, **kwargs)

    monkeypatch.setattr("sending.delivery.dispatch.assemble", broken_for_ann)
    deliver_due()
    assert sink.recipients == [BOB]
    waiting = Message.objects.get(recipient=ANN)
    assert waiting.status == Status.DEFERRED
    assert "a defect" in waiting.reason


def test_a_route_that_is_deleted_under_way_loses_no_result(
    key: ApiKey, sink: Sink, deliverer: Deliverer
) -> None:
    sink.delay_seconds = 0.5
    accept_message(key=key, recipient=ANN)
    wait_for(lambda: Message.objects.filter(handed_off_at__isnull=False).exists())
    Route.objects.all().delete()
    wait_for(lambda: Message.objects.get().status == Status.SENT)
    RouteFactory.create(port=sink.port, is_default=True)
    accept_message(key=key, recipient=BOB)
    wait_for(lambda: sink.recipients == [ANN, BOB])


def test_a_message_does_not_wait_behind_a_busy_connection(
    key: ApiKey, sink: Sink, deliverer: Deliverer
) -> None:
    with sink.held():
        accept_message(key=key, recipient=ANN)
        wait_for(lambda: Message.objects.filter(handed_off_at__isnull=False).exists())
        accept_message(key=key, recipient=BOB)
        wait_for(lambda: Message.objects.filter(handed_off_at__isnull=False).count() == 2)
        assert sink.envelopes == []


def test_what_a_dead_worker_held_is_freed_while_this_one_is_busy(
    key: ApiKey, sink: Sink, deliverer: Deliverer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SWEEP_LEASES_SECONDS", 0.2)
    accept_message(key=key, recipient=ANN)
    wait_for(lambda: sink.recipients == [ANN])
    with sink.held():
        accept_message(key=key, recipient=BOB)
        wait_for(lambda: Message.objects.filter(status=Status.SENDING).exists())
        Message.objects.filter(recipient=ANN).update(
            status=Status.SENDING,
            claim=1,
            lease_until=Now() - timedelta(seconds=1),
            handed_off_at=None,
        )
        wait_for(lambda: Message.objects.get(recipient=ANN).claim != 1)
        assert sink.recipients == [ANN]


def test_an_acceptance_that_comes_after_the_lease_has_ended_makes_no_second_copy(
    key: ApiKey, sink: Sink, deliverer: Deliverer
) -> None:
    with sink.held():
        accept_message(key=key, recipient=ANN)
        wait_for(lambda: Message.objects.filter(handed_off_at__isnull=False).exists())
        with transaction.atomic():
            # As another worker's sweep does, had this one been cut off from the database.
            Message.objects.update(lease_until=Now() - timedelta(seconds=1))
            assert ledger.reap() == 1
            Message.objects.update(next_attempt_at=Now() + timedelta(hours=1))
    wait_for(lambda: Message.objects.get().status == Status.SENT)
    assert sink.recipients == [ANN]


def test_an_overdue_message_is_not_sent_any_more(key: ApiKey, sink: Sink) -> None:
    accept_message(key=key, recipient=ANN)
    Message.objects.update(expires_at=Now() - timedelta(seconds=1))
    deliver_due()
    assert sink.envelopes == []
    assert Message.objects.get().status == Status.EXPIRED


def test_an_older_parcel_of_a_message_claimed_anew_is_not_let_go(key: ApiKey, sink: Sink) -> None:
    accept_message(key=key, recipient=ANN)
    (stale,) = ledger.claim(limit=1)
    Message.objects.update(lease_until=Now() - timedelta(seconds=1))
    ledger.reap()
    (fresh,) = ledger.claim(limit=1)
    held = [(stale.id, stale.claim or 0), (fresh.id, fresh.claim or 0)]
    assert ledger.begin_handoff(held, patience=timedelta(seconds=5)) == {held[1]}


def test_a_backend_that_breaks_after_the_handoff_is_held_where_the_key_asks_for_it(
    key: ApiKey, sink: Sink
) -> None:
    SendingProfile.objects.update(ambiguity_policy="hold")
    Route.objects.update(
        kind=Route.Kind.ANYMAIL, backend="tests.broken_backend.SendsThenBreaks", options="{}"
    )
    accept_message(key=key, recipient=ANN)
    deliver_due()
    assert Message.objects.get().status == Status.UNKNOWN


def test_what_waits_for_a_dead_route_is_deferred_with_the_first_that_failed(
    key: ApiKey, sink: Sink
) -> None:
    accept_batch(key=key, recipients=[f"r{number}@recipient.example" for number in range(30)])
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it never greets
        port = silent.getsockname()[1]
        Route.objects.update(port=port, connections=1, command_timeout_seconds=1)
        deliver_due()
    assert set(Message.objects.values_list("status", flat=True)) == {Status.DEFERRED}
    assert Attempt.objects.count() < 5
    assert "cannot be used" in "".join(Message.objects.values_list("reason", flat=True))


def test_a_suppressed_recipient_is_not_sent_to_again_by_hand(key: ApiKey, sink: Sink) -> None:
    sink.replies[ANN] = "550 5.1.1 No such user"
    message = accept_message(key=key, recipient=ANN)
    deliver_due()
    assert resend([message.id], by="admin") == 0
    assert Message.objects.get().status == Status.BOUNCED


def test_a_single_mail_overtakes_the_batches_that_wait(key: ApiKey, sink: Sink) -> None:
    accept_batch(key=key, recipients=[f"r{number}@recipient.example" for number in range(100)])
    accept_message(key=key, recipient=ANN)
    Route.objects.update(connections=1)
    deliver_due()
    assert sink.recipients.index(ANN) < 5


def test_a_route_that_hangs_does_not_hold_up_the_others(
    key: ApiKey, sink: Sink, deliverer: Deliverer
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it never greets
        slow = RouteFactory.create(port=silent.getsockname()[1], connections=1)
        stuck = SendingProfileFactory.create(route=slow).api_key
        accept_batch(key=stuck, recipients=[f"r{number}@slow.example" for number in range(1_000)])
        wait_for(lambda: Message.objects.filter(status=Status.SENDING).count() >= 100)
        accept_batch(key=key, recipients=[ANN, BOB])
        wait_for(lambda: sorted(sink.recipients) == [ANN, BOB])
        held = Message.objects.filter(status=Status.SENDING, recipient_domain="slow.example")
        assert held.count() <= run.CLAIM_SIZE + run.CROWD[Priority.BATCH]
