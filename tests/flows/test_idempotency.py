"""A caller that repeats a request under its Idempotency-Key gets one message and one answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import requests
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from sending import commands
from sending.commands import Answer
from sending.models import Message, Route, Status, StoredAnswer, Suppression
from sending.suppressions import lift, suppress
from tests.flows.test_send import Caller

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]
needs_parallel_writers = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite has one writer at a time"
)

ANN = {"recipient": "ann@recipient.example", "attribs": {"name": "Ann"}}


@pytest.fixture
def caller(live_server: Any, route: Route) -> Caller:
    return Caller(live_server.url)


def post(caller: Caller, body: Any, *, key: str = "order-1", path: str = "send") -> Any:
    return caller.post(body, path=path, headers={"Idempotency-Key": key})


def test_the_same_request_again_gets_the_same_answer_and_makes_no_message(caller: Caller) -> None:
    first = post(caller, ANN)
    again = post(caller, ANN)
    assert first.status_code == again.status_code == 200
    assert again.text == first.text
    assert again.headers["X-Message-ID"] == first.headers["X-Message-ID"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert str(Message.objects.get().id) == first.headers["X-Message-ID"]


def test_the_same_batch_again_gets_the_same_answer(caller: Caller) -> None:
    body = {"recipients": ["ann@recipient.example", "bob", "bob@recipient.example"]}
    first = post(caller, body, path="batch_send")
    again = post(caller, body, path="batch_send")
    assert first.json()["data"]["queued"] == 2
    assert again.text == first.text
    assert again.headers["X-Batch-ID"] == first.headers["X-Batch-ID"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert Message.objects.count() == 2


def test_spaces_and_the_order_of_keys_make_no_other_request(caller: Caller) -> None:
    headers = {"Content-Type": "application/json", "Idempotency-Key": "order-1"}
    caller.post(b'{"recipient": "ann@recipient.example", "attribs": null}', headers=headers)
    again = caller.post(b'{"attribs":null,"recipient":"ann@recipient.example"}', headers=headers)
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(
    ("other", "path"),
    [
        ({"recipient": "bob@recipient.example"}, "send"),
        (ANN | {"attribs": {"name": "Bob"}}, "send"),
        (ANN | {"tags": ["other"]}, "send"),
        (ANN | {"recipients": ["ann@recipient.example"]}, "batch_send"),
    ],
)
def test_another_request_under_the_same_key_is_refused(
    caller: Caller, other: Any, path: str
) -> None:
    post(caller, ANN)
    answer = post(caller, other, path=path)
    assert (answer.status_code, answer.json()["code"]) == (422, 1005)
    assert "used for another request" in answer.json()["msg"]
    assert Message.objects.count() == 1


def test_keys_of_two_callers_are_apart(caller: Caller, live_server: Any) -> None:
    other = Caller(live_server.url)
    first, second = post(caller, ANN), post(other, ANN)
    assert first.headers["X-Message-ID"] != second.headers["X-Message-ID"]
    assert Message.objects.count() == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\xe9", "a\tb"])
def test_a_key_that_is_none_is_refused(caller: Caller, key: str) -> None:
    answer = post(caller, ANN, key=key)
    assert (answer.status_code, answer.json()["code"]) == (400, 1005)
    assert "1 to 255 printable" in answer.json()["msg"]
    assert not Message.objects.exists()


def test_a_refused_request_can_be_corrected_under_the_same_key(caller: Caller) -> None:
    assert post(caller, {"recipient": "ann"}).status_code == 422
    answer = post(caller, ANN)
    assert answer.status_code == 200
    assert "Idempotency-Replayed" not in answer.headers


def test_a_suppressed_recipient_is_written_down_and_may_be_tried_later(caller: Caller) -> None:
    suppress("ann@recipient.example", reason=Suppression.Reason.UNSUBSCRIBED, now=timezone.now())
    assert post(caller, ANN).json()["code"] == 1003
    assert Message.objects.get().status == Status.SUPPRESSED
    lift("ann@recipient.example")
    assert post(caller, ANN).status_code == 200


def test_a_used_up_quota_keeps_nothing(caller: Caller) -> None:
    caller.key.quota_per_day = 1
    caller.key.save()
    assert post(caller, ANN).status_code == 200
    assert post(caller, ANN, key="order-2").status_code == 429
    assert post(caller, ANN).headers["Idempotency-Replayed"] == "true"
    assert StoredAnswer.objects.count() == Message.objects.count() == 1


def test_answers_are_kept_for_a_day_and_then_forgotten_bit_by_bit(caller: Caller) -> None:
    for number in range(12):
        post(caller, ANN, key=f"old-{number}")
    StoredAnswer.objects.update(stored_at=F("stored_at") - timedelta(hours=23, minutes=59))
    post(caller, ANN, key="young")
    assert StoredAnswer.objects.count() == 13
    StoredAnswer.objects.exclude(idempotency_key="young").update(
        stored_at=F("stored_at") - timedelta(minutes=2)
    )
    post(caller, ANN, key="younger")
    assert StoredAnswer.objects.count() == 13 + 1 - 10
    post(caller, ANN, key="youngest")
    assert StoredAnswer.objects.count() == 3


@needs_parallel_writers
def test_twenty_at_once_make_one_message(caller: Caller) -> None:
    with ThreadPoolExecutor(20) as callers:
        answers: list[requests.Response] = list(callers.map(lambda _: post(caller, ANN), range(20)))
    assert Message.objects.count() == StoredAnswer.objects.count() == 1
    accepted = [answer for answer in answers if answer.status_code == 200]
    in_flight = [answer for answer in answers if answer.status_code != 200]
    assert {answer.headers["X-Message-ID"] for answer in accepted} == {
        str(Message.objects.get().id)
    }
    assert sum("Idempotency-Replayed" not in answer.headers for answer in accepted) == 1
    for answer in in_flight:
        assert (answer.status_code, answer.json()["code"]) == (409, 1005)
        assert int(answer.headers["Retry-After"]) >= 1


@needs_parallel_writers
def test_a_request_in_progress_is_told_so(caller: Caller) -> None:
    with transaction.atomic():
        commands.once(
            lambda: Answer({}), key=caller.key, idempotency_key="order-1", request={"never": "sent"}
        )
        answer = post(caller, ANN)
        transaction.set_rollback(True)
    assert (answer.status_code, answer.headers["Retry-After"]) == (409, "1")
    assert post(caller, ANN).status_code == 200
