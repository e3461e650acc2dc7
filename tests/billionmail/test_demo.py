"""The made-up past is as the product would have written it, and goes away without a trace."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from apikeys.models import ApiKey
from billionmail import demo
from billionmail.demo import performance
from billionmail.demo.cast import MAILBOXES, PARTS
from billionmail.demo.scene import DOMAINS
from sending import ledger, processes
from sending.models import Event, Message, Priority, Route, Status, Suppression, in_batch
from sending.models.event import TRANSITIONS
from stats import rollups
from stats.models import Day, Progress
from tests.factories.sending import (
    MessageFactory,
    RouteFactory,
    SendingProfileFactory,
    SuppressionFactory,
    TemplateFactory,
)
from tests.stats.stories import counts
from tracking import visits
from tracking.models import Visit

pytestmark = pytest.mark.django_db

rebuilding: Any = import_module("stats.rollups.rebuild")

NOW = datetime(2030, 5, 17, 13, 40, tzinfo=UTC)


def perform(*, messages: int = 300, days: int = 21, seed: int = 7, now: datetime = NOW) -> None:
    demo.perform(messages=messages, days=days, seed=seed, now=now, watch=lambda *_: None)


def everything() -> dict[str, Counter[tuple[Any, ...]]]:
    """Return all rows of all tables; how far the log is counted only ever grows."""
    left_out = ("migrations.Migration", Progress._meta.label)
    return {
        model._meta.label: Counter(map(repr, model._default_manager.values_list()))
        for model in apps.get_models()
        if model._meta.label not in left_out
    }


@pytest.fixture
def real_mail() -> Message:
    """Return a message of a real key, counted, to somebody else who gets no more mail."""
    SuppressionFactory()
    profile: Any = SendingProfileFactory()
    message: Message = MessageFactory.build(
        profile=profile,
        api_key=profile.api_key,
        template_version=profile.template.current_version,
    )
    ledger.accept([message])
    rollups.roll()
    return message


def test_every_history_is_one_that_the_ledger_could_have_written() -> None:
    perform()
    stands: dict[Any, str] = defaultdict(str)
    events = Event.objects.order_by("occurred_at", "id")
    for event in events.exclude(status_after=""):
        assert event.status_before == stands[event.message_id]
        assert event.status_after in TRANSITIONS[event.status_before]
        stands[event.message_id] = event.status_after
    assert stands == dict(Message.objects.values_list("id", "status"))
    assert Message.objects.count() == 300
    assert max(events.values_list("occurred_at", flat=True)) < NOW


@pytest.mark.parametrize("times", [1, 2])
def test_the_counts_agree_with_the_made_up_log(times: int) -> None:
    for _ in range(times):
        demo.remove(watch=lambda done: None)
        perform()
    assert Progress.objects.get().event_id == Event.objects.order_by("-id")[0].id
    assert rollups.check(watch=lambda done, total: None) == []
    batches = set(Message.objects.exclude(batch_id=None).values_list("batch_id", flat=True))
    assert {one.version for one in batches} == {7}
    found = [Message.objects.filter(in_batch(one)).count() for one in batches]
    assert sum(found) == Message.objects.exclude(batch_id=None).count() > 10
    assert set(Day.objects.filter(dimension="tag").values_list("value", flat=True)) == {
        "account", "express", "order", "weekly"
    }  # fmt: skip
    assert Day.objects.filter(dimension="variant").exists()
    marks = Message.objects.exclude(batch_id=None).values_list("batch_id", "variant").distinct()
    assert len(marks) == len(batches)


def test_a_mailing_to_many_is_one_batch() -> None:
    perform()
    many = Message.objects.filter(priority=Priority.BATCH)
    calls = Counter(many.values_list("api_key", "accepted_at"))
    assert max(calls.values()) > 5


def test_the_labels_of_the_hits_are_those_of_our_own_rules() -> None:
    perform()
    firsts = ("id", "opened_at", "clicked_at", "any_opened_at", "any_clicked_at")
    before = list(Message.objects.order_by("id").values_list(*firsts))
    hit = set(Visit.objects.values_list("message_id", flat=True))
    assert len(hit) > 80
    assert visits.relabel(hit) == 0
    assert list(Message.objects.order_by("id").values_list(*firsts)) == before


def test_nothing_of_it_is_ever_sent_nor_could_reach_anybody() -> None:
    now = timezone.now()
    perform(messages=900, days=2, now=now)
    waiting = Message.objects.exclude(next_attempt_at=None)
    assert waiting.filter(status=Status.DEFERRED).count() == waiting.count() > 0
    assert not waiting.filter(next_attempt_at__lt=now + timedelta(days=3000)).exists()
    assert ledger.claim(limit=100) == []
    ledger.reap()
    ledger.expire()
    assert Message.objects.filter(status=Status.EXPIRED).count() == 0
    assert {one.route.kind for one in _profiles()} == {Route.Kind.SIMULATOR}
    domains = {one.domain for one in MAILBOXES} | set(DOMAINS)
    assert all(domain.endswith(".example") for domain in domains)
    assert set(Message.objects.values_list("recipient_domain", flat=True)) <= domains


def _profiles() -> list[Any]:
    return [key.sending_profile for key in demo.demo_keys()]


def test_a_seed_makes_the_same_mail_again_and_another_one_other_mail() -> None:
    columns = ("id", "recipient", "status", "accepted_at", "opened_at")
    perform(messages=100)
    first = list(Message.objects.order_by("id").values_list(*columns))
    demo.remove(watch=lambda done: None)
    perform(messages=100)
    assert list(Message.objects.order_by("id").values_list(*columns)) == first
    demo.remove(watch=lambda done: None)
    perform(messages=100, seed=8)
    assert list(Message.objects.order_by("id").values_list(*columns)) != first


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
def test_several_processes_make_and_count_the_same_mail_as_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(performance, "MANY", 200)
    monkeypatch.setattr(performance, "TOWNS", 3)
    monkeypatch.setattr(rebuilding, "MANY_EVENTS", 1)
    monkeypatch.setattr(rebuilding, "EVENTS_AT_ONCE", 500)
    started: list[int] = []
    pool = processes.pool

    def seen_pool(number: int, **more: Any) -> Any:
        started.append(number)
        return pool(number, **more)

    monkeypatch.setattr(processes, "pool", seen_pool)
    made = []
    for cores in (1, 2):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid, number=cores: range(number))
        told: list[int] = []
        demo.perform(
            messages=301, days=9, seed=7, now=NOW, watch=lambda done, *_, to=told: to.append(done)
        )
        columns = ("id", "recipient", "status", "accepted_at", "opened_at")
        made.append(list(Message.objects.order_by("id").values_list(*columns)))
        assert told[-1] == len(made[-1]) == 301
        with connection.cursor() as cursor:
            # Processes need longer than that to start.
            cursor.execute("SET idle_in_transaction_session_timeout = '500 ms'")
            rollups.rebuild(watch=lambda done, total: None)
            cursor.execute("SET idle_in_transaction_session_timeout = 0")
        assert rollups.check(watch=lambda done, total: None) == []
        demo.remove(watch=lambda done: None)
    assert made[0] == made[1]
    assert started == [2, 2]


def test_removing_takes_exactly_its_own_rows(real_mail: Message) -> None:
    before, counted = everything(), counts()
    perform()
    assert everything() != before
    assert demo.remove(watch=lambda done: None) == []
    after = everything()
    assert {name: rows for name, rows in after.items() if rows != before[name]} == {}
    assert counts() == counted
    assert rollups.check(watch=lambda done, total: None) == []


def test_removing_goes_on_where_it_was_ended() -> None:
    before = everything()
    perform()

    def ended(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo.remove(watch=ended)
    assert demo.demo_keys()
    demo.remove(watch=lambda done: None)
    assert everything() == before


def test_what_a_real_key_uses_by_now_stays() -> None:
    perform()
    route = Route.objects.get(name="Demo relay")
    SendingProfileFactory(route=route)
    assert demo.remove(watch=lambda done: None) == ["route Demo relay"]
    assert Route.objects.filter(pk=route.pk).exists()


def test_it_refuses_to_stand_among_real_mail_until_told(real_mail: Message) -> None:
    with pytest.raises(CommandError, match="Real mail was accepted here"):
        call_command("seed_demo", messages=50)
    assert not demo.demo_keys()
    call_command("seed_demo", messages=50, beside_real_mail=True)
    assert Message.objects.count() == 51


@pytest.mark.parametrize("make", [lambda: RouteFactory(name="Demo relay"),
                                  lambda: TemplateFactory(slug="demo-order")])  # fmt: skip
def test_it_refuses_where_a_name_is_taken(make: Any) -> None:
    make()
    with pytest.raises(CommandError, match="There is already"):
        call_command("seed_demo", messages=50)
    assert not ApiKey.objects.filter(pk__in=[part.id for part in PARTS]).exists()


def test_fresh_data_is_left_alone_and_old_data_replaced() -> None:
    call_command("seed_demo", messages=50)
    first = set(Message.objects.values_list("id", flat=True))
    call_command("seed_demo", messages=60)
    assert set(Message.objects.values_list("id", flat=True)) == first
    yesterday = timezone.now() - timedelta(hours=20)
    ApiKey.objects.filter(last_used_at__gt=yesterday).update(last_used_at=yesterday)
    # Of the same seed the first ones were the same again.
    call_command("seed_demo", messages=60, seed=8)
    assert Message.objects.count() == 60
    # Mailings to many begin on the hour, so some of them may be the same.
    assert not first <= set(Message.objects.values_list("id", flat=True))
    assert rollups.check(watch=lambda done, total: None) == []


def test_keys_and_messages_have_different_fates() -> None:
    perform(messages=900)
    keys = {key.name: key for key in demo.demo_keys()}
    assert keys["Partner import"].paused_reason
    assert keys["Old CRM"].revoked_at is not None
    assert keys["Invoices"].expires_at is not None
    found = set(Message.objects.values_list("status", flat=True))
    assert found >= {"sent", "delivered", "bounced", "suppressed"}
    reasons = set(Suppression.objects.values_list("reason", flat=True))
    assert "bounced" in reasons
    labels = set(Visit.objects.values_list("kind", "is_human"))
    assert len(labels) == 4
