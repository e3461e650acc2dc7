"""The counts say what the log says, whatever came in whatever order and however often."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sending import ledger
from sending.commands.personal import forget_recipient
from sending.mentions import STRUCK
from sending.models import Event, Message, SendingProfile, Status, new_message_id
from sending.notations import notations_of
from stats import queries, rollups
from stats.models import CountedHits, Day, Hour, Progress
from stats.queries import By, Step
from stats.rollups import Roller
from stats.rollups import roller as rolling
from stats.rollups.changes import alike
from tests.factories.facts import FactFactory
from tests.factories.sending import MessageFactory, SendingProfileFactory
from tests.factories.tracking import GMAIL, HitFactory, TrackedLinkFactory
from tests.processes import wait_until
from tests.stats.stories import accepted, answered, claimed, counts, handed_off, today
from tracking import visits
from tracking.events import record_hits
from tracking.models import Visit

pytestmark = pytest.mark.django_db


def no_watch(done: int, total: int) -> None:
    pass


def assert_true() -> None:
    """Check the counts against the log, and against the messages themselves."""
    assert rollups.check(watch=no_watch) == []
    all_of = queries.totals(today())
    messages = Message.objects
    assert all_of.taken == messages.filter(status=Status.SENT).count()
    assert all_of.bounced == messages.filter(status=Status.BOUNCED).count()
    assert all_of.opened == messages.exclude(opened_at=None).count()
    assert all_of.any_opened == messages.exclude(any_opened_at=None).count()
    assert all_of.clicked == messages.exclude(clicked_at=None).count()
    assert all_of.any_clicked == messages.exclude(any_clicked_at=None).count()


def assert_marks_are_true() -> None:
    """Check the counts of each batch, variant and tag against the messages themselves."""
    expected: dict[tuple[By, str], int] = Counter()
    for message in Message.objects.exclude(opened_at=None):
        of = [(By.BATCH, str(message.batch_id)), (By.VARIANT, message.variant)]
        expected.update([*of, *((By.TAG, tag) for tag in message.tags)])
    for by in (By.BATCH, By.VARIANT, By.TAG):
        found = {(by, one.value): one.totals.opened for one in breakdown(by)}
        assert {place: number for place, number in found.items() if number} == {
            place: number
            for place, number in expected.items()
            if place[0] == by and place[1] not in ("", "None")
        }


def breakdown(by: By) -> list[queries.Share]:
    return queries.breakdown(today(), by=by).rows


def test_each_message_is_counted_where_it_stands() -> None:
    profile = SendingProfileFactory.create()
    answered(handed_off(profile, number=3))
    answered(handed_off(profile), Status.BOUNCED, reason="550 5.1.1 No such user")
    answered(handed_off(profile), Status.DEFERRED, reason="451 Later")
    accepted(profile, number=2)
    rollups.roll()
    found = queries.totals(today())
    assert (found.accepted, found.sent, found.delivered) == (7, 4, 3)
    assert (found.waiting, found.bounced, found.deferrals) == (3, 1, 1)
    assert_true()


def test_message_that_bounces_after_it_was_delivered_moves() -> None:
    [message] = answered(handed_off(SendingProfileFactory.create()))
    ledger.report([FactFactory.build(message=message, status=Status.DELIVERED)])
    rollups.roll()
    assert queries.totals(today()).confirmed == 1
    ledger.report([FactFactory.build(message=message, status=Status.BOUNCED)])
    rollups.roll()
    found = queries.totals(today())
    assert (found.confirmed, found.bounced, found.sent, found.delivered) == (0, 1, 1, 0)
    assert_true()


def test_counting_again_without_news_changes_nothing() -> None:
    answered(handed_off(SendingProfileFactory.create(), number=3))
    rollups.roll()
    before = counts()
    assert rollups.roll() == 0
    assert counts() == before


def test_opens_of_people_and_machines_are_apart_and_a_message_opened_twice_is_one() -> None:
    messages = answered(handed_off(SendingProfileFactory.create(), number=3))
    later = messages[0].accepted_at + timedelta(hours=2)
    person = [HitFactory.build(message=messages[0], at=later) for _ in range(3)]
    machine = HitFactory.build(message=messages[1], user_agent="curl/8.0", at=later)
    record_hits([*person, machine, *person])
    rollups.roll()
    found = queries.totals(today())
    assert (found.opened, found.any_opened, found.opens, found.machine_opens) == (1, 2, 3, 1)
    assert_true()


def test_clicks_are_counted_by_link_with_those_who_clicked() -> None:
    profile = SendingProfileFactory.create()
    version = profile.template.current_version
    links = [
        TrackedLinkFactory.create(template_version=version, position=number) for number in (1, 2)
    ]
    messages = answered(handed_off(profile, number=3))
    at = messages[0].accepted_at + timedelta(hours=2)
    clicked = [(0, 0), (0, 0), (1, 0), (2, 1)]
    record_hits(
        [
            HitFactory.build(message=messages[who], link=links[which], kind="clicked", at=at)
            for who, which in clicked
        ]
    )
    rollups.roll()
    found = [(one.link_id, one.clicks, one.clickers) for one in queries.links(today())]
    assert found == [(links[0].pk, 3, 2), (links[1].pk, 1, 1)]
    assert_true()


def test_hit_that_is_judged_anew_is_counted_anew() -> None:
    [message] = answered(handed_off(SendingProfileFactory.create()))
    record_hits([HitFactory.build(message=message, at=message.accepted_at + timedelta(hours=1))])
    rollups.roll()
    assert queries.totals(today()).opened == 1
    Visit.objects.update(user_agent="curl/8.0")
    visits.relabel([message.id])
    rollups.roll()
    found = queries.totals(today())
    assert (found.opened, found.opens, found.any_opened, found.machine_opens) == (0, 0, 1, 1)
    assert_true()


def test_unsubscribing_counts_once() -> None:
    [message] = answered(handed_off(SendingProfileFactory.create()))
    ledger.report(
        [FactFactory.build(message=message, status=None, kind="unsubscribed") for _ in range(2)]
    )
    rollups.roll()
    assert queries.totals(today()).unsubscribed == 1
    assert_true()


def test_failures_are_alike_whatever_address_and_number_they_name() -> None:
    profile = SendingProfileFactory.create()
    for number in range(3):
        reason = f"550 5.1.1 <ann{number}@x.example> unknown, id 4Xyz{number}abcd"
        answered(handed_off(profile), Status.BOUNCED, reason=reason)
    rollups.roll()
    [group] = queries.failures(today())
    assert (group.kind, group.code, group.enhanced, group.number) == ("bounced", "550", "5.1.1", 3)
    assert group.text == "<address> unknown, id #"


def test_what_was_suppressed_is_told_by_the_reason_whoever_it_was() -> None:
    profile = SendingProfileFactory.create()
    for number in range(2):
        reason = f"capped: ann{number}@x.example has got enough mail for now (rule 1 bulk mail)"
        answered(handed_off(profile), Status.SUPPRESSED, reason=reason)
    rollups.roll()
    [group] = queries.failures(today())
    assert (group.kind, group.text, group.number) == ("suppressed", "capped", 2)


@pytest.mark.parametrize(
    ("detail", "told"),
    [
        ("", ("", "", "")),
        ("421 4.7.0 Try 10.0.0.1 later", ("421", "4.7.0", "Try # later")),
        ("not accepted within its lifetime", ("", "", "not accepted within its lifetime")),
        ("5501 is no code", ("", "", "# is no code")),
    ],
)
def test_code_status_and_text_of_a_failure_are_told_apart(
    detail: str, told: tuple[str, str, str]
) -> None:
    assert tuple(alike("failed", detail).split("\x1f")) == ("failed", *told)


@pytest.mark.parametrize(
    "text",
    [
        "<ann@recipient.example> unknown",
        "to=ann@recipient.example, relay",
        '"ann"@recipient.example is full',
        "bounces+ann=recipient.example@l.example refused",
        "SRS0=HHH=TT=recipient.example=ann@f.example refused",
        "see https://x.example/?to=ann%40recipient.example&a=b",
        "rfc822;ann+40recipient.example",
        "no ann&#64;recipient.example here",
    ],
)
def test_a_failure_is_the_same_when_somebody_in_it_is_forgotten(text: str) -> None:
    struck = notations_of("ann@recipient.example").sub(STRUCK, text)
    assert STRUCK in struck
    assert alike("bounced", f"550 {text}") == alike("bounced", f"550 {struck}")
    assert "ann" not in alike("bounced", f"550 {text}")


def test_a_number_is_no_address() -> None:
    assert alike("failed", "552 quota=40 of 40kb. Bye").endswith("quota=# of 40kb. Bye")


def test_waits_are_those_from_acceptance_to_handoff() -> None:
    at = ledger.database_now() - timedelta(seconds=30)
    answered(handed_off(SendingProfileFactory.create(), number=4, accepted_at=at))
    rollups.roll()
    found = queries.waits(today())
    assert found.number == 4
    assert 25 < found.p50 < 40
    assert 25 < found.p99 < 40


KINDS = (Status.DELIVERED, Status.BOUNCED, Status.COMPLAINED, "opened", "proxied", "unsubscribed")


@given(
    told=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(KINDS)), max_size=12),
    order=st.randoms(use_true_random=False),
    cuts=st.sets(st.integers(0, 30), max_size=6),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_shuffled_and_repeated_facts_give_the_same_counts(
    db: None, told: list[tuple[int, str]], order: Any, cuts: set[int]
) -> None:
    with transaction.atomic():
        profile = SendingProfileFactory.create()
        batch_id = new_message_id()
        accepted(profile, number=2, batch_id=batch_id, variant="A", tags=["one"])
        accepted(profile, batch_id=batch_id, variant="B", tags=["one", "two"])
        accepted(profile)
        messages = answered(claimed(number=4))
        tell = [teller(messages[who], kind, str(at)) for at, (who, kind) in enumerate(told)]
        shuffled = tell * 2
        order.shuffle(shuffled)
        for at, one in enumerate(shuffled):
            one()
            if at in cuts:
                rollups.roll()
        rollups.roll()
        in_lots = counts()
        assert_true()
        assert_marks_are_true()
        rollups.rebuild(watch=no_watch)
        assert counts() == in_lots
        transaction.set_rollback(True)


def teller(message: Message, kind: str, key: str) -> Callable[[], object]:
    """Return what tells one fact of a message, whenever it is called."""
    at = message.accepted_at + timedelta(hours=1)
    if kind in ("opened", "proxied"):
        agent = {} if kind == "opened" else {"user_agent": GMAIL}
        hit = HitFactory.build(message=message, at=at, key=key, **agent)
        return lambda: record_hits([hit])
    status = kind if isinstance(kind, Status) else None
    fact = FactFactory.build(
        message=message, status=status, kind=str(kind), key=key, occurred_at=at
    )
    return lambda: ledger.report([fact])


def test_rebuild_counts_what_was_never_counted_and_mends_what_is_wrong() -> None:
    messages = answered(handed_off(SendingProfileFactory.create(), number=3))
    record_hits([HitFactory.build(message=messages[0])])
    rollups.roll()
    right = counts()
    Hour.objects.update(taken=99)
    CountedHits.objects.all().delete()
    with pytest.raises(CommandError, match="rows differ"):
        call_command("rebuild_stats", check=True)
    call_command("rebuild_stats")
    assert counts() == right
    call_command("rebuild_stats", check=True)


def test_what_is_not_counted_yet_is_no_difference() -> None:
    profile = SendingProfileFactory.create()
    [message] = answered(handed_off(profile))
    record_hits([HitFactory.build(message=message)])
    rollups.roll()
    record_hits([HitFactory.build(message=message)])
    answered(handed_off(profile))
    assert rollups.check(watch=no_watch) == []


def test_message_of_each_dimension_is_found_by_it() -> None:
    profile = SendingProfileFactory.create()
    answered(handed_off(profile, recipient="a@gmail.com"))
    answered(handed_off(profile, number=2, recipient="b@googlemail.com"))
    answered(handed_off(profile, recipient="c@web.de"))
    rollups.roll()
    found = queries.breakdown(today(), by=By.PROVIDER)
    assert [(one.value, one.totals.sent) for one in found.rows] == [("gmail", 3), ("gmx", 1)]
    top = queries.breakdown(today(), by=By.RECIPIENT_DOMAIN, limit=1)
    assert [one.value for one in top.rows] == ["googlemail.com"]
    assert (top.other_count, top.others.sent) == (2, 2)
    [key] = queries.breakdown(today(), by=By.KEY).rows
    assert (key.label, key.totals.sent) == (profile.api_key.name, 4)
    [template] = queries.breakdown(today(), by=By.TEMPLATE).rows
    assert (template.label, template.totals.sent) == (profile.template.name, 4)
    cut = today(by=By.TEMPLATE, value=str(profile.template.pk))
    assert queries.totals(cut).sent == 4
    assert queries.totals(today(by=By.PROVIDER, value="gmail")).sent == 3
    assert queries.totals(today(by=By.KEY, value=str(profile.api_key.pk))).sent == 4
    assert queries.totals(today(by=By.SENDER_DOMAIN, value="sender.example")).sent == 4


def test_a_roller_takes_what_is_left_over_only_after_a_full_lot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    profile = SendingProfileFactory.create()
    accepted(profile)
    rollups.roll()
    accepted(profile, number=3)
    newest = Event.objects.order_by("id").last().pk
    monkeypatch.setattr(rolling, "EVENTS_AT_ONCE", newest - Progress.objects.get().event_id - 1)
    assert rolling.count_lot(newest).is_full
    rest = rolling.count_lot(newest)
    assert (rest.size, rest.is_full) == (1, False)
    assert rolling.count_lot(newest) == rolling.Lot()
    assert queries.totals(today()).accepted == 4


def test_message_counts_under_its_batch_its_variant_and_each_of_its_tags() -> None:
    profile, other = SendingProfileFactory.create_batch(2)
    first, second = new_message_id(), new_message_id()
    answered(handed_off(profile, number=2, batch_id=first, variant="A", tags=["x", "y"]))
    answered(handed_off(profile, batch_id=second, variant="B", tags=["y"]))
    answered(handed_off(other, variant="A"))
    answered(handed_off(other, number=3))
    rollups.roll()
    sent = {by: {one.value: one.totals.sent for one in breakdown(by)} for by in By}
    assert sent[By.BATCH] == {str(first): 2, str(second): 1}
    assert sent[By.VARIANT] == {"A": 3, "B": 1}
    assert sent[By.TAG] == {"x": 2, "y": 3}
    for by, value, number in ((By.BATCH, str(first), 2), (By.VARIANT, "A", 3), (By.TAG, "y", 3)):
        cut = today(by=by, value=value)
        assert queries.totals(cut).sent == number
        for step in (Step.HOUR, Step.DAY):
            assert sum(one.totals.sent for one in queries.series(cut, step=step)) == number
    of_template = queries.parts(today(by=By.TEMPLATE, value=str(profile.template_id)))
    assert {one: found.sent for one, found in of_template.by_variant.items()} == {"A": 2, "B": 1}
    of_key = queries.marks(today(by=By.KEY, value=str(other.pk)))
    assert {one: found.sent for one, found in of_key.by_variant.items()} == {"A": 1}
    assert of_key.by_tag == {}
    assert {one.id for one in queries.newest_batches(today(), limit=5)} == {first, second}
    assert rollups.check(watch=no_watch) == []


def test_message_without_marks_writes_no_rows_of_them() -> None:
    answered(handed_off(SendingProfileFactory.create(), number=2))
    rollups.roll()
    marks = ("batch", "variant", "tag")
    assert not Hour.objects.filter(dimension__in=marks).exists()
    accepted(SendingProfileFactory.create(), batch_id=new_message_id())
    rollups.roll()
    assert Hour.objects.filter(dimension__in=marks).count() == 1
    assert not Day.objects.filter(dimension__in=marks).exists()


def test_marks_that_are_erased_leave_the_counts_and_nothing_else_does() -> None:
    profile = SendingProfileFactory.create()
    accepted(profile, variant="A", tags=["many", "customer-7"], recipient="ann@recipient.example")
    accepted(profile, variant="A", tags=["many"])
    messages = answered(claimed(number=2))
    at = messages[0].accepted_at + timedelta(hours=1)
    record_hits([HitFactory.build(message=one, at=at) for one in messages])
    rollups.roll()
    before = {place: row for place, row in counts().items() if place[1] not in ("variant", "tag")}
    forget_recipient("ann@recipient.example", by="me", now=timezone.now())
    assert rollups.check(watch=no_watch) == []
    assert {
        place: row for place, row in counts().items() if place[1] not in ("variant", "tag")
    } == before
    assert [(one.value, one.totals.opened, one.totals.sent) for one in breakdown(By.TAG)] == [
        ("many", 1, 1)
    ]
    assert [(one.value, one.totals.sent) for one in breakdown(By.VARIANT)] == [("A", 1)]
    assert not Hour.objects.filter(value="customer-7").exists()
    assert not Day.objects.filter(value="customer-7").exists()
    erased = Message.objects.get(recipient__endswith="@forgotten.invalid")
    assert (erased.variant, erased.tags) == ("", [])
    visits.relabel([one.id for one in messages])
    rollups.roll()
    assert rollups.check(watch=no_watch) == []


def test_who_is_forgotten_and_named_in_the_failure_of_another_stays_counted_there() -> None:
    profile = SendingProfileFactory.create()
    named = ("<ann@recipient.example> or smtp;ann@recipient.example.", "ann@recipient.example: no")
    for words in named:
        answered(handed_off(profile), Status.BOUNCED, reason=f"550 5.1.1 {words}")
    answered(handed_off(profile, recipient="ann@recipient.example"))
    rollups.roll()
    before = [(one.text, one.number) for one in queries.failures(today())]
    forget_recipient("ann@recipient.example", by="me", now=timezone.now())
    details = " ".join(Event.objects.values_list("detail", flat=True))
    assert details.count("[forgotten]") == 3
    assert rollups.check(watch=no_watch) == []
    rollups.rebuild(watch=no_watch)
    assert [(one.text, one.number) for one in queries.failures(today())] == before


@pytest.mark.django_db(transaction=True)
def test_roller_counts_within_seconds() -> None:
    roller = Roller()
    roller.start()
    try:
        answered(handed_off(SendingProfileFactory.create(), number=2))
        wait_until(lambda: queries.totals(today()).sent == 2)
    finally:
        roller.stop()


@pytest.mark.django_db(transaction=True)
@pytest.mark.integration
def test_event_that_is_committed_late_is_counted_though_a_later_id_was_seen() -> None:
    """Only PostgreSQL lets somebody else write meanwhile."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    profile = SendingProfileFactory.create()
    has_written, may_commit = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with transaction.atomic():
            accepted(profile, number=3)
            has_written.set()
            may_commit.wait(60)
        connection.close()

    slow = threading.Thread(target=write_slowly)
    slow.start()
    assert has_written.wait(60)
    accepted(profile, number=2)
    rollups.roll()
    may_commit.set()
    slow.join()
    rollups.roll()
    assert queries.totals(today()).accepted == 5
    assert rollups.check(watch=no_watch) == []


def write(profile: SendingProfile, number: int, failures: list[Exception]) -> None:
    """Accept `number` messages at a time, fifteen times, each in a transaction of its own."""
    try:
        for _ in range(15):
            with transaction.atomic():
                accepted(profile, number=number)
    except Exception as error:
        failures.append(error)
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.integration
def test_several_who_write_and_several_who_count_miss_nothing_and_count_nothing_twice() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    profile = SendingProfileFactory.create()
    rollers = [Roller(), Roller()]
    failures: list[Exception] = []
    for roller in rollers:
        roller.start()
    writers = [
        threading.Thread(target=write, args=[profile, number, failures]) for number in (1, 2, 5, 20)
    ]
    for writer in writers:
        writer.start()
    for _ in range(20):
        rollups.roll()
    for writer in writers:
        writer.join()
    for roller in rollers:
        roller.stop()
    rollups.roll()
    assert failures == []
    assert queries.totals(today()).accepted == 15 * 28
    assert Progress.objects.get().event_id == Event.objects.order_by("id").last().pk
    assert rollups.check(watch=no_watch) == []


def test_message_without_history_is_not_counted() -> None:
    MessageFactory.create(status=Status.SENT)
    rollups.roll()
    assert queries.totals(today()).accepted == 0
