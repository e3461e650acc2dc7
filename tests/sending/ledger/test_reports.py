"""What others tell late, repeatedly and in any order ends the same, with an unbroken history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sending import ledger
from sending.ledger import Fact, FirstHits, IllegalTransition, Outcome
from sending.models import Event, Message, Status, new_message_id
from sending.models.event import RANKED
from tests.factories.facts import FactFactory
from tests.factories.sending import MessageFactory, SendingProfileFactory

pytestmark = pytest.mark.django_db

PATIENCE = timedelta(seconds=10)
TOLD = [status for status in RANKED if status != Status.SENT]


def steps(message: Message) -> list[tuple[str, str]]:
    changes = Event.objects.filter(message=message).exclude(status_after="").order_by("id")
    return list(changes.values_list("status_before", "status_after"))


def handed_off(number: int = 1) -> list[Message]:
    """Return messages whose bodies are on their way; nobody knows yet what became of them."""
    profile = SendingProfileFactory.create()
    for _ in range(number):
        MessageFactory.create(profile=profile)
    claimed = ledger.claim(limit=number)
    ledger.begin_handoff([(one.id, one.claim or 0) for one in claimed], patience=PATIENCE)
    return claimed


def sent(message: Message) -> Outcome:
    return Outcome(
        message_id=message.id,
        claim=message.claim or 0,
        attempt_number=message.attempt_count,
        status=Status.SENT,
    )


def test_a_report_moves_the_status_and_one_of_a_lower_rank_is_only_kept() -> None:
    message = MessageFactory.create(status=Status.SENT)
    bounced = FactFactory.build(message=message, status=Status.BOUNCED, detail="550 \0 gone")
    delivered = FactFactory.build(message=message, status=Status.DELIVERED, detail="late")
    new = ledger.report([bounced, delivered])
    message.refresh_from_db()
    assert (message.status, message.reason) == (Status.BOUNCED, "550  gone")
    assert list(message.events.order_by("id").values_list("kind", "status_after")) == [
        ("bounced", "bounced"),
        ("delivered", ""),
    ]
    ids = message.events.order_by("id").values_list("id", flat=True)
    assert new == list(zip([bounced, delivered], ids, strict=True))


def test_a_fact_that_is_told_again_is_written_once() -> None:
    message = MessageFactory.create(status=Status.SENT)
    fact = FactFactory.build(message=message)
    assert len(ledger.report([fact, fact])) == 1
    assert ledger.report([fact]) == []
    assert message.events.count() == 1


def test_the_same_key_names_other_facts_of_another_message_or_kind() -> None:
    one, other = MessageFactory.create_batch(2, status=Status.SENT)
    told = [
        FactFactory.build(message=one, key="1"),
        FactFactory.build(message=other, key="1"),
        FactFactory.build(message=one, key="1", status=None, kind="opened"),
    ]
    assert len(ledger.report(told)) == 3


def test_facts_without_a_key_are_written_as_often_as_they_are_told() -> None:
    message = MessageFactory.create(status=Status.SENT)
    fact = FactFactory.build(message=message, key="", kind="unsubscribed", status=None)
    assert len(ledger.report([fact, fact])) == 2


def test_a_key_that_is_too_long_still_tells_facts_apart() -> None:
    message = MessageFactory.create(status=Status.SENT)
    told = [FactFactory.build(message=message, key="k" * 300 + end) for end in ("a", "b", "b")]
    assert len(ledger.report(told)) == 2
    assert len(ledger.report(told)) == 0


def test_a_fact_about_a_message_that_is_not_here_is_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    message = MessageFactory.create(status=Status.SENT)
    stranger = new_message_id()
    fact, foreign = FactFactory.build(message=message), FactFactory.build(message_id=stranger)
    assert [one for one, _ in ledger.report([foreign, fact])] == [fact]
    assert str(stranger) in caplog.text
    assert not Event.objects.filter(message_id=stranger).exists()


@pytest.mark.parametrize("kind", ["seen", "", "QUEUED"])
def test_a_word_that_is_not_in_the_vocabulary_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="not a kind of event"):
        FactFactory.build(message_id=new_message_id(), kind=kind)


@pytest.mark.parametrize("status", sorted(set(Status.values) - set(RANKED)))
def test_no_report_makes_a_message_what_only_we_can_make_it(status: str) -> None:
    with pytest.raises(IllegalTransition):
        FactFactory.build(message_id=new_message_id(), kind="unknown", status=Status(status))


@pytest.mark.parametrize("status", TOLD)
def test_a_report_that_overtakes_the_answer_is_not_lost(status: Status) -> None:
    (message,) = handed_off()
    ledger.report([FactFactory.build(message=message, status=status)])
    ledger.record([sent(message)])
    message.refresh_from_db()
    assert message.status == status
    assert steps(message) == [("queued", "sending"), ("sending", "sent"), ("sent", status)]


def test_a_report_that_overtakes_a_lost_answer_keeps_a_second_copy_off_the_wire() -> None:
    (message,) = handed_off()
    ledger.report([FactFactory.build(message=message)])
    lost = Outcome(
        message_id=message.id,
        claim=message.claim or 0,
        attempt_number=1,
        status=Status.DEFERRED,
        delay=timedelta(0),
    )
    ledger.record([lost])
    assert ledger.claim(limit=1) == []
    message.refresh_from_db()
    assert message.status == Status.DELIVERED


def test_a_report_on_a_copy_whose_answer_was_lost_ends_the_wait_for_another_try() -> None:
    message = MessageFactory.create(status=Status.DEFERRED, handed_off_at=timezone.now())
    ledger.report([FactFactory.build(message=message)])
    message.refresh_from_db()
    assert (message.status, message.next_attempt_at) == (Status.DELIVERED, None)
    assert steps(message) == [("deferred", "sent"), ("sent", "delivered")]


@pytest.mark.parametrize("status", [Status.QUEUED, Status.DEFERRED, Status.SENDING])
def test_a_report_on_what_was_never_handed_over_moves_nothing(status: Status) -> None:
    message = MessageFactory.create(status=status)
    ledger.report([FactFactory.build(message=message, status=Status.BOUNCED)])
    message.refresh_from_db()
    assert message.status == status
    assert message.events.get().kind == "bounced"


def test_an_old_bounce_does_not_end_a_message_that_is_sent_again() -> None:
    message = MessageFactory.create(status=Status.SENT, handed_off_at=timezone.now())
    ledger.report([FactFactory.build(message=message, status=Status.BOUNCED)])
    ledger.requeue([message.id], detail="Sent again by admin.")
    ledger.report([FactFactory.build(message=message, status=Status.BOUNCED)])
    message.refresh_from_db()
    assert message.status == Status.QUEUED


def test_a_report_settles_a_message_that_is_sent_again_because_nobody_knew_its_end() -> None:
    message = MessageFactory.create(status=Status.UNKNOWN, handed_off_at=timezone.now())
    ledger.requeue([message.id], detail="Sent again by admin.")
    ledger.report([FactFactory.build(message=message)])
    message.refresh_from_db()
    assert message.status == Status.DELIVERED


@pytest.mark.parametrize("status", RANKED)
def test_a_later_report_settles_an_unknown_message(status: Status) -> None:
    message = MessageFactory.create(status=Status.UNKNOWN)
    ledger.report([FactFactory.build(message=message, status=status, detail="5.1.1 gone")])
    message.refresh_from_db()
    has_arrived = status in (Status.SENT, Status.DELIVERED)
    assert (message.status, message.reason) == (status, "" if has_arrived else "5.1.1 gone")
    assert steps(message) == [("unknown", "sent"), ("sent", status)][: RANKED.index(status) + 1]


def test_what_is_told_of_many_messages_costs_a_constant_number_of_statements() -> None:
    messages = MessageFactory.create_batch(40, status=Status.SENT)
    with CaptureQueriesContext(connection) as one:
        ledger.report([FactFactory.build(message=messages[0])])
    with CaptureQueriesContext(connection) as many:
        ledger.report([FactFactory.build(message=message) for message in messages[1:]])
    assert len(many) == len(one)


facts_of_one = st.lists(
    st.tuples(st.sampled_from(TOLD), st.integers(min_value=0, max_value=3)), max_size=8
)


@given(
    tellings=facts_of_one.flatmap(
        lambda told: st.tuples(st.permutations(told * 2), st.integers(0, len(told) * 2))
    ),
    parts=st.integers(min_value=1, max_value=4),
)
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_facts_in_any_order_end_in_the_highest_rank(
    tellings: tuple[Sequence[tuple[Status, int]], int], parts: int
) -> None:
    """The hand-off is recorded somewhere in between; what is told comes in one or more lots."""
    order, recorded_at = tellings
    (message,) = handed_off()
    facts = [
        FactFactory.build(message=message, status=status, key=f"{status}:{number}")
        for status, number in order
    ]
    for lot in (facts[:recorded_at], None, facts[recorded_at:]):
        if lot is None:
            ledger.record([sent(message)])
            continue
        for number in range(parts):
            ledger.report(lot[number::parts])
    message.refresh_from_db()
    highest = max((RANKED.index(status) for status, _ in order), default=0)
    assert message.status == RANKED[highest]
    its_steps = steps(message)
    assert all(before[1] == after[0] for before, after in pairwise(its_steps))
    assert its_steps[-1][1] == message.status
    assert message.events.exclude(key="").count() == len(set(order))


def at(second: int) -> datetime:
    return datetime(2026, 1, 1, 12, 0, second, tzinfo=UTC)


def test_the_first_open_and_click_are_kept_on_the_message() -> None:
    one, other, untouched = MessageFactory.create_batch(3, status=Status.SENT)
    firsts: dict[UUID, FirstHits] = {
        one.id: FirstHits(opened_at=at(5), any_opened_at=at(1)),
        other.id: FirstHits(any_opened_at=at(2), clicked_at=at(4), any_clicked_at=at(3)),
        new_message_id(): FirstHits(),
    }
    ledger.keep_first_hits(firsts)
    for message in (one, other, untouched):
        message.refresh_from_db()
    assert (one.opened_at, one.any_opened_at, one.clicked_at) == (at(5), at(1), None)
    assert (other.any_opened_at, other.clicked_at, other.any_clicked_at) == (at(2), at(4), at(3))
    assert untouched.any_opened_at is None


def test_first_hits_that_are_known_are_not_written_again() -> None:
    message = MessageFactory.create(status=Status.SENT)
    ledger.keep_first_hits({message.id: FirstHits(opened_at=at(1))})
    with CaptureQueriesContext(connection) as captured:
        ledger.keep_first_hits({message.id: FirstHits(opened_at=at(1))})
    assert not [query for query in captured if query["sql"].startswith("UPDATE")]


def test_a_correction_takes_a_first_open_back() -> None:
    message = MessageFactory.create(status=Status.SENT, opened_at=at(1), any_opened_at=at(1))
    ledger.keep_first_hits({message.id: FirstHits(any_opened_at=at(1))})
    message.refresh_from_db()
    assert (message.opened_at, message.any_opened_at) == (None, at(1))


def test_a_fact_is_written_down_as_it_was_told() -> None:
    message = MessageFactory.create(status=Status.SENT)
    fact = Fact(
        message_id=message.id, kind="deferred", occurred_at=at(1), key="k", detail="451 later"
    )
    ((_, event_id),) = ledger.report([fact])
    event = Event.objects.get(pk=event_id)
    assert (event.kind, event.occurred_at, event.key) == ("deferred", at(1), "k")
    assert (event.status_before, event.status_after, event.detail) == ("", "", "451 later")
