"""The ledger alone moves a message, along the edges of the state machine, and writes it down."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from sending import bulk, ledger
from sending.errors import Phase, Reply
from sending.ledger import AttemptFacts, IllegalTransition, Outcome
from sending.models import AmbiguityPolicy, Event, Message, SendingProfile, Status
from sending.models.event import TRANSITIONS
from tests.factories.sending import MessageFactory, RouteFactory, SendingProfileFactory

pytestmark = pytest.mark.django_db

PATIENCE = timedelta(seconds=10)


def accepted(number: int = 1, **fields: object) -> list[Message]:
    """Accept messages of one key, as a caller's request does."""
    profile = SendingProfileFactory.create()
    now = ledger.database_now()
    messages = [
        MessageFactory.build(
            profile=profile,
            api_key=profile.api_key,
            template_version=profile.template.current_version,
            accepted_at=now,
            status_at=now,
            next_attempt_at=now,
            expires_at=now + timedelta(hours=1),
            **fields,
        )
        for _ in range(number)
    ]
    ledger.accept(messages)
    return messages


def outcome(message: Message, status: Status, **fields: object) -> Outcome:
    return Outcome(
        message_id=message.id,
        claim=message.claim or 0,
        attempt_number=message.attempt_count,
        status=status,
        **fields,
    )


def facts() -> AttemptFacts:
    return AttemptFacts(
        route_id=RouteFactory.create().pk,
        started_at=timezone.now(),
        duration_ms=3,
        phase=Phase.DOT,
        reply=Reply(code=250),
    )


def claimed_twice(*, limit: int = 1) -> tuple[Message, Message]:
    """Return one message as two workers hold it: the first went silent for too long."""
    mine = ledger.claim(limit=limit)[0]
    lapse()
    ledger.reap()
    theirs = next(one for one in ledger.claim(limit=limit) if one.pk == mine.pk)
    return mine, theirs


def history(message_id: UUID) -> list[tuple[str, str]]:
    events = Event.objects.filter(message_id=message_id).order_by("id")
    return list(events.values_list("status_before", "status_after"))


def lapse() -> None:
    """Let every lease end, as if the time had passed."""
    Message.objects.filter(status=Status.SENDING).update(lease_until=Now() - timedelta(seconds=1))


def test_an_accepted_message_is_stored_as_it_was_given() -> None:
    (given,) = accepted(attribs={"name": "Ann", "age": 7, "x": None}, recipient="ü@x.example")
    stored = Message.objects.get()
    for field in ledger.MESSAGE_FIELDS:
        assert getattr(stored, field) == getattr(given, field), field
    assert history(stored.id) == [("", "queued")]


def test_claiming_takes_due_messages_once_and_counts_the_attempt() -> None:
    messages = accepted(3)
    first = ledger.claim(limit=2)
    second = ledger.claim(limit=2)
    assert {row.id for row in first + second} == {row.id for row in messages}
    assert [row.attempt_count for row in first] == [1, 1]
    assert {row.status for row in first} == {Status.SENDING}
    assert ledger.claim(limit=2) == []


def test_a_message_is_not_claimed_before_it_is_due() -> None:
    accepted()
    Message.objects.update(next_attempt_at=Now() + timedelta(minutes=1))
    assert ledger.claim(limit=10) == []


def test_a_sent_message_has_its_attempt_and_its_history() -> None:
    accepted()
    route = RouteFactory.create()
    (message,) = ledger.claim(limit=1)
    facts = AttemptFacts(
        route_id=route.pk,
        started_at=timezone.now(),
        duration_ms=12,
        phase=Phase.DOT,
        reply=Reply(250, "2.0.0", "OK \0 queued as X"),
        transport_id="X",
    )
    ledger.record([outcome(message, Status.SENT, reason="250 2.0.0 OK", attempt=facts)])
    stored = Message.objects.get()
    assert (stored.status, stored.lease_until, stored.reason) == (Status.SENT, None, "")
    attempt = stored.attempts.get()
    assert (attempt.outcome, attempt.reply_text) == (Status.SENT, "OK  queued as X")
    assert history(stored.id) == [("", "queued"), ("queued", "sending"), ("sending", "sent")]


def test_a_deferred_message_waits_for_its_time_with_its_reason() -> None:
    accepted()
    (message,) = ledger.claim(limit=1)
    ledger.record(
        [outcome(message, Status.DEFERRED, reason="451 later", delay=timedelta(minutes=5))]
    )
    stored = Message.objects.get()
    assert (stored.status, stored.reason) == (Status.DEFERRED, "451 later")
    wait = stored.next_attempt_at - timezone.now()
    assert timedelta(minutes=4, seconds=50) < wait <= timedelta(minutes=5)
    assert ledger.claim(limit=1) == []


def test_many_outcomes_are_recorded_in_a_constant_number_of_statements(
    django_assert_max_num_queries: object,
) -> None:
    accepted(60)
    claimed = ledger.claim(limit=60)
    with django_assert_max_num_queries(8):
        ledger.record([outcome(message, Status.SENT) for message in claimed])
    assert Message.objects.filter(status=Status.SENT).count() == 60


def test_an_outcome_that_no_state_machine_has_is_refused() -> None:
    accepted()
    (message,) = ledger.claim(limit=1)
    with pytest.raises(IllegalTransition):
        ledger.record([outcome(message, Status.COMPLAINED)])
    assert Message.objects.get().status == Status.SENDING


def test_a_refusal_of_a_lost_claim_changes_nothing() -> None:
    accepted()
    mine, theirs = claimed_twice()
    for status in (Status.DEFERRED, Status.BOUNCED):
        delay = timedelta(0) if status == Status.DEFERRED else None
        ledger.record([outcome(mine, status, delay=delay)])
        assert Message.objects.get().status == Status.SENDING
    ledger.record([outcome(theirs, Status.SENT)])
    assert Message.objects.get().status == Status.SENT


def test_an_acceptance_that_was_told_too_late_keeps_a_second_copy_off_the_wire() -> None:
    accepted()
    (message,) = ledger.claim(limit=1)
    ledger.begin_handoff([(message.id, message.claim)], patience=PATIENCE)
    lapse()
    ledger.reap()
    assert Message.objects.get().status == Status.QUEUED
    ledger.record([outcome(message, Status.SENT, attempt=facts())])
    assert Message.objects.get().status == Status.SENT
    assert history(message.id)[-2:] == [("sending", "queued"), ("queued", "sent")]
    assert ledger.claim(limit=1) == []


def test_a_late_acceptance_settles_what_another_worker_deferred_meanwhile() -> None:
    accepted()
    mine, theirs = claimed_twice()
    ledger.record([outcome(theirs, Status.DEFERRED, delay=timedelta(hours=1))])
    ledger.record([outcome(mine, Status.SENT)])
    stored = Message.objects.get()
    assert (stored.status, stored.next_attempt_at) == (Status.SENT, None)


def test_a_late_acceptance_takes_the_message_from_who_claimed_it_anew() -> None:
    accepted()
    mine, theirs = claimed_twice()
    ledger.record([outcome(mine, Status.SENT)])
    assert Message.objects.get().status == Status.SENT
    held = [(theirs.id, theirs.claim)]
    assert ledger.begin_handoff(held, patience=PATIENCE) == set()
    ledger.record([outcome(theirs, Status.DEFERRED, delay=timedelta(0))])
    assert Message.objects.get().status == Status.SENT


@pytest.mark.parametrize("is_first", [True, False])
def test_two_results_of_one_message_in_one_turn_end_in_the_acceptance(is_first: bool) -> None:
    accepted(2)
    mine, theirs = claimed_twice(limit=2)
    late = outcome(mine, Status.SENT, attempt=facts())
    refused = outcome(theirs, Status.DEFERRED, delay=timedelta(0), attempt=facts())
    ledger.record([late, refused] if is_first else [refused, late])
    assert Message.objects.get(pk=mine.pk).status == Status.SENT
    assert Message.objects.exclude(pk=mine.pk).get().status == Status.SENDING
    assert mine.attempts.count() == 2


def test_a_late_acceptance_does_not_revive_what_has_ended() -> None:
    ended = set(Status.values) - ledger.MAY_BECOME_SENT - {Status.SENT}
    for status in ended:
        message = MessageFactory.create(status=status)
        ledger.record([outcome(message, Status.SENT)])
        message.refresh_from_db()
        assert message.status == status


def test_the_handoff_is_granted_to_the_holder_of_the_lease_only() -> None:
    accepted(2)
    first, second = ledger.claim(limit=2)
    assert ledger.begin_handoff([(first.id, first.claim + 1)], patience=PATIENCE) == set()
    held = [(first.id, first.claim), (second.id, second.claim)]
    lapse()
    assert ledger.begin_handoff(held, patience=PATIENCE) == set()
    Message.objects.update(lease_until=Now() + timedelta(seconds=30))
    assert ledger.begin_handoff(held, patience=PATIENCE) == set(held)
    assert Message.objects.filter(handed_off_at__isnull=False).count() == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite always waits for the disk")
def test_the_handoff_lasts_where_it_must_and_changes_no_later_commit() -> None:
    def ask(question: str) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(question)
            return cursor.fetchone()[0]

    accepted()
    (message,) = ledger.claim(limit=1)
    held = [(message.id, message.claim or 0)]
    ledger.begin_handoff(held, patience=PATIENCE)
    assert ask("SHOW synchronous_commit") == "on"
    before = ask("SELECT pg_current_wal_insert_lsn()")
    ledger.begin_handoff(held, patience=PATIENCE, must_last=True)
    assert ask(f"SELECT pg_current_wal_flush_lsn() > '{before}'")
    assert ask("SHOW synchronous_commit") == "on"


def test_a_silent_worker_before_the_handoff_only_costs_time() -> None:
    accepted()
    ledger.claim(limit=1)
    lapse()
    assert ledger.reap() == 1
    assert Message.objects.get().status == Status.QUEUED
    assert len(ledger.claim(limit=1)) == 1


@pytest.mark.parametrize(
    ("policy", "status"),
    [(AmbiguityPolicy.RETRY, Status.QUEUED), (AmbiguityPolicy.HOLD, Status.UNKNOWN)],
)
def test_after_the_handoff_the_policy_of_the_key_decides(policy: str, status: str) -> None:
    accepted()
    SendingProfile.objects.update(ambiguity_policy=policy)
    (message,) = ledger.claim(limit=1)
    ledger.begin_handoff([(message.id, message.claim)], patience=PATIENCE)
    lapse()
    ledger.reap()
    assert Message.objects.get().status == status


def test_a_late_answer_settles_a_message_that_is_held_as_unknown() -> None:
    accepted()
    SendingProfile.objects.update(ambiguity_policy=AmbiguityPolicy.HOLD)
    (message,) = ledger.claim(limit=1)
    ledger.begin_handoff([(message.id, message.claim)], patience=PATIENCE)
    lapse()
    ledger.reap()
    ledger.record([outcome(message, Status.SENT)])
    assert Message.objects.get().status == Status.SENT
    assert history(message.id)[-2:] == [("sending", "unknown"), ("unknown", "sent")]


def test_a_message_that_ends_its_workers_is_put_aside_as_poison() -> None:
    accepted()
    for _ in range(ledger.MAX_LAPSES):
        assert ledger.claim(limit=1) or ledger.claim(limit=1, suspects=True)
        lapse()
        ledger.reap()
    stored = Message.objects.get()
    assert stored.status == Status.FAILED
    assert "Poison" in stored.reason


def test_deferrals_with_a_result_never_make_a_message_poison() -> None:
    accepted()
    for _ in range(ledger.MAX_LAPSES + 2):
        (message,) = ledger.claim(limit=1)
        ledger.record([outcome(message, Status.DEFERRED, delay=timedelta(0))])
    lapse()
    assert len(ledger.claim(limit=1)) == 1
    lapse()
    ledger.reap()
    assert Message.objects.get().status == Status.QUEUED


def test_a_released_claim_leaves_no_trace_but_its_history() -> None:
    accepted()
    (message,) = ledger.claim(limit=1)
    ledger.release([(message.id, message.claim)])
    stored = Message.objects.get()
    assert (stored.status, stored.attempt_count) == (Status.QUEUED, 0)
    assert history(stored.id)[-1] == ("sending", "queued")


def test_a_message_past_its_lifetime_expires() -> None:
    accepted()
    Message.objects.update(expires_at=Now() - timedelta(seconds=1))
    assert ledger.expire() == 1
    assert Message.objects.get().status == Status.EXPIRED
    assert ledger.claim(limit=1) == []


def test_a_deferred_message_expires_when_its_next_try_would_come_too_late() -> None:
    accepted()
    (message,) = ledger.claim(limit=1)
    ledger.record([outcome(message, Status.DEFERRED, delay=timedelta(hours=2))])
    assert ledger.expire() == 0
    Message.objects.update(expires_at=Now(), next_attempt_at=Now())
    assert ledger.expire() == 1
    assert history(message.id)[-1] == ("deferred", "expired")


def test_what_a_worker_holds_past_its_lifetime_is_freed_and_then_expires() -> None:
    accepted()
    ledger.claim(limit=1)
    Message.objects.update(expires_at=Now() - timedelta(seconds=1))
    assert ledger.expire() == 0
    lapse()
    assert (ledger.reap(), ledger.expire()) == (1, 1)
    assert Message.objects.get().status == Status.EXPIRED


def test_a_message_that_ends_its_workers_after_the_handoff_is_held_as_unknown() -> None:
    accepted()
    for _ in range(ledger.MAX_LAPSES):
        (message,) = ledger.claim(limit=1) or ledger.claim(limit=1, suspects=True)
        ledger.begin_handoff([(message.id, message.claim)], patience=PATIENCE)
        lapse()
        ledger.reap()
    stored = Message.objects.get()
    assert (stored.status, ledger.MAX_LAPSES) == (Status.UNKNOWN, 5)
    assert ledger.claim(limit=1) == []


def test_only_unknown_messages_are_marked_delivered_by_a_person() -> None:
    ended = [MessageFactory.create(status=status) for status in Status.values]
    ids = [message.id for message in ended]
    assert ledger.mark_delivered(ids, detail="Marked delivered by admin.") == 1
    settled = next(message for message in ended if message.status == Status.UNKNOWN)
    settled.refresh_from_db()
    assert (settled.status, settled.reason) == (Status.DELIVERED, "Marked delivered by admin.")
    assert history(settled.id) == [("unknown", "delivered")]


def test_what_waits_for_one_reason_comes_due_at_once() -> None:
    later = timezone.now() + timedelta(hours=1)
    for reason in ("The route A is paused: 535 no", "The route B is paused: 535 no"):
        MessageFactory.create(status=Status.DEFERRED, reason=reason, next_attempt_at=later)
    assert ledger.hasten(reason_prefix="The route A is paused") == 1
    (due,) = ledger.claim(limit=5)
    assert history(due.id) == [("deferred", "sending")]


def test_cancel_stops_only_what_still_waits() -> None:
    waiting, claimed = accepted(2)
    Message.objects.filter(pk=waiting.pk).update(next_attempt_at=Now() + timedelta(hours=1))
    ledger.claim(limit=5)
    assert ledger.cancel([waiting.id, claimed.id], detail="Canceled by admin.") == 1
    assert Message.objects.get(pk=waiting.pk).status == Status.CANCELED
    assert Message.objects.get(pk=claimed.pk).status == Status.SENDING


def test_requeue_sends_ended_messages_once_more_and_leaves_the_others() -> None:
    ended = [MessageFactory.create(status=status) for status in Status.values]
    moved = ledger.requeue([message.id for message in ended], detail="Sent again by admin.")
    again = set(Message.objects.filter(status=Status.QUEUED).values_list("id", flat=True))
    could = {"failed", "rejected", "bounced", "expired", "unknown"}
    assert again == {m.id for m in ended if m.status in could | {"queued"}}
    assert moved == len(could)


@pytest.mark.parametrize("before", [status for status in TRANSITIONS if status])
def test_the_database_refuses_an_event_off_the_state_machine(before: str) -> None:
    message = MessageFactory.create(status=Status.SENT)
    for after in set(Status.values) - TRANSITIONS[before]:
        row = (message.id, after, before, after, timezone.now(), None, "")
        with pytest.raises(IntegrityError), transaction.atomic():
            bulk.insert(Event, fields=ledger.EVENT_FIELDS, rows=[row])


def test_the_database_refuses_a_status_that_contradicts_its_row() -> None:
    message = MessageFactory.create(status=Status.SENT)
    for changes in (
        {"status": "nonsense"},
        {"status": Status.SENDING},
        {"status": Status.QUEUED},
        {"next_attempt_at": timezone.now()},
        {"lease_until": timezone.now()},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            Message.objects.filter(pk=message.pk).update(**changes)


def test_events_cannot_be_saved_one_by_one() -> None:
    with pytest.raises(TypeError, match="append-only"):
        Event(kind="sent").save()


@pytest.mark.integration
@pytest.mark.django_db(transaction=True)
def test_eight_workers_claim_every_message_exactly_once() -> None:
    messages = accepted(200)
    taken: list[UUID] = []

    def work() -> None:
        while rows := ledger.claim(limit=7):
            taken.extend(row.id for row in rows)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(message.id for message in messages)


def test_what_several_workers_ended_with_is_claimed_by_itself() -> None:
    innocent, suspect = MessageFactory.create(), MessageFactory.create(lapse_count=2)
    assert ledger.has_suspects()
    assert [message.id for message in ledger.claim(limit=10)] == [innocent.id]
    assert [message.id for message in ledger.claim(limit=10, suspects=True)] == [suspect.id]
    assert not ledger.has_suspects()


def test_an_outcome_that_is_told_twice_is_written_once() -> None:
    accepted()
    (message,) = ledger.claim(limit=1)
    told = outcome(message, Status.SENT, attempt=facts())
    ledger.record([told])
    ledger.record([told])
    assert message.attempts.count() == 1
    assert history(message.id)[-1] == ("sending", "sent")
    assert message.events.filter(kind="sent").count() == 1
