"""A dry run says what would happen to each recipient, and leaves no trace."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apikeys import refusals
from sending.delivery import deliver_due
from sending.models import Message, Route, SendingProfile, Stream, Suppression
from sending.suppressions import suppress
from tests.factories.sending import TemplateFactory
from tests.flows.test_send import Caller
from tests.sink import Sink

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

ANN = "ann@recipient.example"
GONE = "gone@recipient.example"
DRY: dict[str, Any] = {"dry_run": True, "attribs": {"name": "Ann"}}


@pytest.fixture
def caller(live_server: Any, route: Route) -> Caller:
    return Caller(live_server.url)


@pytest.fixture(autouse=True)
def gone(db: None) -> None:
    suppress(GONE, reason=Suppression.Reason.HARD_BOUNCE, now=timezone.now())


def rows() -> dict[str, int]:
    """How many rows each table has."""
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        counts = {}
        for table in tables:
            cursor.execute(f'SELECT count(*) FROM "{table}"')
            counts[table] = cursor.fetchone()[0]
    return counts


def test_one_recipient_would_get_the_mail_and_nothing_is_stored(caller: Caller, sink: Sink) -> None:
    before = rows()
    answer = caller.post(DRY | {"recipient": "Ann@Recipient.example"})
    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "code": 0,
        "msg": "Dry run: 1 emails would be sent; nothing was stored",
        "data": {
            "would_send": 1,
            "from": "shop@sender.example",
            "subject": "Hello Ann",
            "verdicts": [
                {
                    "recipient": "Ann@recipient.example",
                    "would_send": True,
                    "code": 0,
                    "reason": "",
                    "rule": "",
                    "msg": "It would be sent.",
                }
            ],
        },
    }
    assert "X-Message-ID" not in answer.headers
    deliver_due()
    assert rows() == before
    assert sink.recipients == []


def test_each_recipient_of_a_batch_has_a_verdict_and_its_rule(caller: Caller) -> None:
    suppress("@spam.example", reason=Suppression.Reason.BLACKLIST, now=timezone.now())
    before = rows()
    recipients = [ANN, GONE, "bob@spam.example", "no address", ANN.upper()]
    answer = caller.post(DRY | {"recipients": recipients}, path="batch_send")
    data = answer.json()["data"]
    assert data["would_send"] == 1
    assert [
        (one["recipient"], one["code"], one["reason"], one["rule"]) for one in data["verdicts"]
    ] == [
        (ANN, 0, "", ""),
        (GONE, 1003, "bounced", GONE),
        ("bob@spam.example", 1003, "blacklisted", "@spam.example"),
        ("no address", 1003, "", ""),
    ]
    assert rows() == before


def test_who_would_not_get_it_is_an_answer_and_no_error(caller: Caller) -> None:
    for recipient in (GONE, "nonsense", "", None, 7):
        answer = caller.post(DRY | {"recipient": recipient})
        assert answer.status_code == 200
        (verdict,) = answer.json()["data"]["verdicts"]
        assert (verdict["would_send"], verdict["code"]) == (False, 1003)
        assert answer.json()["data"]["subject"] is None
    assert not Message.objects.exists()


def test_the_cap_is_foreseen(caller: Caller) -> None:
    SendingProfile.objects.update(stream=Stream.BULK, bulk_per_day=1)
    caller.post({"recipient": ANN})
    deliver_due()
    (verdict,) = caller.post(DRY | {"recipient": ANN}).json()["data"]["verdicts"]
    assert (verdict["reason"], verdict["rule"]) == ("capped", "1 bulk mails in 24 hours")


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"addresser": "nobody"}, 403, 1005),
        ({"attribs": [1]}, 422, 1005),
        ({"track_opens": "yes"}, 422, 1005),
        ({"tags": "welcome"}, 422, 1005),
        ({"variant": "x" * 51}, 422, 1005),
        ({"dry_run": "yes"}, 422, 1005),
    ],
)
def test_what_is_wrong_with_the_request_is_told_as_if_it_were_sent(
    caller: Caller, fields: dict[str, Any], status: int, code: int
) -> None:
    answer = caller.post(DRY | {"recipient": ANN} | fields)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_template_that_cannot_become_a_mail_is_told(caller: Caller) -> None:
    broken = TemplateFactory.create(version__html="{{range .API.x}}")
    SendingProfile.objects.update(template=broken)
    answer = caller.post(DRY | {"recipient": ANN})
    assert (answer.status_code, answer.json()["code"]) == (422, 1005)


def test_a_quota_is_asked_and_not_used(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[Any] = []
    monkeypatch.setattr(refusals, "note", lambda **refusal: noted.append(refusal))
    caller.key.quota_per_day = 1
    caller.key.save()
    many = DRY | {"recipients": [ANN, "bob@recipient.example"]}
    assert caller.post(many, path="batch_send").status_code == 429
    for _ in range(3):
        assert caller.post(DRY | {"recipient": ANN}).status_code == 200
    assert caller.post({"recipient": ANN}).status_code == 200
    assert caller.post(DRY | {"recipient": ANN}).status_code == 429
    assert noted == []


def test_an_idempotency_key_stays_free(caller: Caller) -> None:
    headers = {"Idempotency-Key": "order-1"}
    caller.post(DRY | {"recipient": ANN}, headers=headers)
    caller.post({"recipient": ANN, "dry_run": False}, headers=headers)
    assert Message.objects.count() == 1
