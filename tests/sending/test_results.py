"""What follows from a result may fail without the result being written twice, or never."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError
from django.test import override_settings

from apikeys.models import ApiKey
from sending import suppressions
from sending.commands import accept_batch, accept_message
from sending.delivery import Deliverer, deliver_due, results
from sending.delivery.run import Run
from sending.errors import PermanentError, TransportError
from sending.models import Attempt, Event, Message, Route, Status, Suppression
from tests.factories.sending import SendingProfileFactory
from tests.sink import Sink

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

ANN, BOB = "ann@recipient.example", "bob@recipient.example"


@pytest.fixture
def key(route: Route) -> ApiKey:
    """A key whose recipient Ann does not exist."""
    return SendingProfileFactory.create(route=None).api_key


@pytest.fixture
def deliverer(sink: Sink) -> Iterator[Deliverer]:
    """A worker's deliverer, sweeping often."""
    sink.replies[ANN] = "550 5.1.1 No such user here"
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


def test_a_try_is_written_once_though_the_database_went_away_behind_it(
    key: ApiKey, deliverer: Deliverer, monkeypatch: pytest.MonkeyPatch
) -> None:
    suppress = suppressions.suppress
    failures: list[int] = []

    def once_away(*args: Any, **kwargs: Any) -> bool:
        if not failures:
            failures.append(1)
            raise OperationalError("away")
        return suppress(*args, **kwargs)

    monkeypatch.setattr(suppressions, "suppress", once_away)
    accept_batch(key=key, recipients=[ANN, BOB])
    wait_for(Suppression.objects.exists)
    wait_for(Message.objects.filter(recipient=BOB, status=Status.SENT).exists)
    assert failures
    assert Attempt.objects.count() == 2


def test_a_defect_in_counting_a_bounce_holds_up_no_later_result(
    key: ApiKey, deliverer: Deliverer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **kwargs: Any) -> bool:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(suppressions, "suppress", broken)
    accept_message(key=key, recipient=ANN)
    wait_for(lambda: Message.objects.get().status == Status.BOUNCED)
    accept_message(key=key, recipient=BOB)
    wait_for(lambda: Message.objects.get(recipient=BOB).status == Status.SENT)
    assert Attempt.objects.count() == 2


def test_a_defect_in_judging_a_refusal_holds_up_no_other_result(
    key: ApiKey, deliverer: Deliverer, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = results._verdict

    def broken_for_good(error: TransportError) -> Any:
        if isinstance(error, PermanentError):
            raise ZeroDivisionError("a defect")
        return judge(error)

    monkeypatch.setattr(results, "_verdict", broken_for_good)
    accept_batch(key=key, recipients=[ANN, BOB])
    wait_for(lambda: Message.objects.get(recipient=BOB).status == Status.SENT)
    # It waits; then its address, which the refusal was about, is suppressed.
    wait_for(lambda: Message.objects.get(recipient=ANN).status == Status.SUPPRESSED)
    assert Event.objects.filter(status_after=Status.DEFERRED).count() == 1


def test_a_single_run_that_breaks_keeps_nothing_to_itself(
    key: ApiKey, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    give = Run._give_to_lane

    def broken_for_bob(self: Run, draft: Any, route: Route, **kwargs: Any) -> None:
        if draft.outgoing.recipient == BOB:
            raise ZeroDivisionError("a defect")
        give(self, draft, route, **kwargs)

    monkeypatch.setattr(Run, "_give_to_lane", broken_for_bob)
    accept_message(key=key, recipient=ANN)
    accept_message(key=key, recipient=BOB)
    with pytest.raises(ZeroDivisionError):
        deliver_due()
    assert set(Message.objects.values_list("status", flat=True)) == {Status.QUEUED}
    monkeypatch.undo()
    assert deliver_due() == 2
    assert sorted(sink.recipients) == [ANN, BOB]
