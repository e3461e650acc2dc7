"""A route's connections lose nothing and double nothing, whatever limits the next hop has."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError
from django.test import override_settings

from apikeys.models import ApiKey
from sending import ledger
from sending.commands import accept_batch
from sending.delivery import Deliverer, deliver_due, run, smtp_lanes
from sending.mime import Content
from sending.models import Attempt, Message, Route, SendingProfile, Status
from sending.outgoing import Outgoing
from sending.transports.smtp import Transaction, content_of
from tests.factories.sending import SendingProfileFactory
from tests.sending.fussy import FussyServer
from tests.sink import Sink, free_port

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

MANY = [f"r{number}@recipient.example" for number in range(60)]
ANN, BOB = "ann@recipient.example", "bob@recipient.example"


@pytest.fixture
def key(route: Route) -> ApiKey:
    """A key that sends through the default route."""
    return SendingProfileFactory.create(route=None).api_key


@pytest.fixture
def fussy() -> Iterator[Callable[..., FussyServer]]:
    """Make servers with limits and have the route lead there."""
    servers: list[FussyServer] = []

    def make(*, connections_used: int, **limits: Any) -> FussyServer:
        servers.append(FussyServer(**limits))
        Route.objects.update(port=servers[-1].port, connections=connections_used)
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def deliverer() -> Iterator[Deliverer]:
    """A worker's deliverer, sweeping often."""
    with override_settings(SWEEP_SECONDS=0.05):
        running = Deliverer()
        running.start()
        yield running
        running.stop()


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def is_all_sent() -> bool:
    return not Message.objects.exclude(status=Status.SENT).exists()


@pytest.mark.parametrize("hangs_up", [True, False])
def test_a_server_that_ends_connections_early_loses_and_doubles_nothing(
    key: ApiKey, fussy: Callable[..., FussyServer], hangs_up: bool
) -> None:
    server = fussy(connections_used=4, messages=3, hangs_up=hangs_up)
    accept_batch(key=key, recipients=MANY)
    deliver_due()
    assert sorted(server.recipients) == sorted(MANY)
    assert is_all_sent()
    assert Attempt.objects.count() == len(MANY)


def test_connections_that_are_not_admitted_defer_nothing(
    key: ApiKey, fussy: Callable[..., FussyServer]
) -> None:
    server = fussy(connections_used=20, connections=3)
    accept_batch(key=key, recipients=MANY)
    deliver_due()
    assert server.refused
    assert sorted(server.recipients) == sorted(MANY)
    assert Attempt.objects.count() == len(MANY)


@pytest.mark.parametrize(("seconds", "is_chained"), [(0.03, True), (0.3, False)])
def test_a_message_follows_behind_another_only_where_answers_are_quick(
    key: ApiKey, fussy: Callable[..., FussyServer], seconds: float, is_chained: bool
) -> None:
    server = fussy(connections_used=1, seconds=seconds)
    accept_batch(key=key, recipients=MANY[:8])
    deliver_due()
    assert sorted(server.recipients) == sorted(MANY[:8])
    assert bool(server.chained) == is_chained


def test_a_route_that_changes_under_way_loses_and_doubles_nothing(
    key: ApiKey, fussy: Callable[..., FussyServer], deliverer: Deliverer
) -> None:
    before = fussy(connections_used=2, seconds=0.05)
    accept_batch(key=key, recipients=MANY[:30])
    wait_for(lambda: before.recipients)
    after = fussy(connections_used=3)
    accept_batch(key=key, recipients=MANY[30:])
    wait_for(is_all_sent)
    assert sorted(before.recipients + after.recipients) == sorted(MANY)
    assert after.recipients


def test_a_defect_in_writing_a_mail_is_the_answer_to_that_mail_alone(
    key: ApiKey, sink: Sink, deliverer: Deliverer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_for_ann(outgoing: Outgoing) -> Content:
        if outgoing.recipient == ANN:
            raise TypeError("a defect")
        return content_of(outgoing)

    monkeypatch.setattr(smtp_lanes, "content_of", broken_for_ann)
    accept_batch(key=key, recipients=[ANN, BOB])
    wait_for(lambda: Message.objects.get(recipient=ANN).status == Status.DEFERRED)
    wait_for(lambda: Message.objects.get(recipient=BOB).status == Status.SENT)
    assert "a defect" in Message.objects.get(recipient=ANN).reason


def test_a_defect_after_the_handoff_is_held_where_the_key_asks_for_it(
    key: ApiKey, sink: Sink, deliverer: Deliverer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear = Transaction.hear

    def broken_at_the_end(self: Transaction, reply: Any) -> Any:
        if self.awaits_acceptance and b"RCPT TO:<ann" in b"".join(self._commands.values()):
            raise ZeroDivisionError("a defect")
        return hear(self, reply)

    monkeypatch.setattr(Transaction, "hear", broken_at_the_end)
    SendingProfile.objects.update(ambiguity_policy="hold")
    accept_batch(key=key, recipients=[ANN, BOB])
    wait_for(lambda: Message.objects.get(recipient=ANN).status == Status.UNKNOWN)
    wait_for(lambda: Message.objects.get(recipient=BOB).status == Status.SENT)


@pytest.mark.parametrize("policy", ["retry", "hold"])
def test_the_handoff_outlives_a_power_cut_where_a_second_copy_is_forbidden(
    key: ApiKey, sink: Sink, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    begin = ledger.begin_handoff
    asked: list[bool] = []

    def noted(*args: Any, must_last: bool, **kwargs: Any) -> Any:
        asked.append(must_last)
        return begin(*args, must_last=must_last, **kwargs)

    monkeypatch.setattr(ledger, "begin_handoff", noted)
    SendingProfile.objects.update(ambiguity_policy=policy)
    accept_batch(key=key, recipients=[ANN])
    deliver_due()
    assert asked == [policy == "hold"]


def test_what_waits_for_a_dead_route_is_deferred_though_the_database_was_away(
    key: ApiKey, deliverer: Deliverer, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = ledger.record
    failures: list[int] = []

    def once_away(outcomes: Any) -> None:
        if outcomes and not failures and all(one.attempt is None for one in outcomes):
            failures.append(1)
            raise OperationalError("away")
        record(outcomes)

    monkeypatch.setattr(ledger, "record", once_away)
    Route.objects.update(port=free_port(), connections=1)
    accept_batch(key=key, recipients=MANY[:5])
    wait_for(lambda: Message.objects.filter(status=Status.DEFERRED).count() == 5)
    assert failures


def test_servers_are_listened_to_while_the_database_is_away(
    key: ApiKey, sink: Sink, deliverer: Deliverer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> int:
        raise OperationalError("away")

    sink.delay_seconds = 1
    accept_batch(key=key, recipients=[ANN])
    wait_for(lambda: Message.objects.filter(handed_off_at__isnull=False).exists())
    monkeypatch.setattr(run, "SWEEP_LEASES_SECONDS", 0)
    monkeypatch.setattr(ledger, "reap", away)
    wait_for(is_all_sent)
