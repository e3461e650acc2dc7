"""Programs list, add, lift and check suppressions, as far as their key allows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from apikeys.models import ApiKey
from sending.models import Message, SendingProfile, Status, Suppression
from tests.factories.apikeys import key_with_secret
from tests.factories.sending import (
    MessageFactory,
    SendingProfileFactory,
    SuppressionFactory,
)

pytestmark = pytest.mark.django_db

PATH = "/api/v1/suppressions"
ANN = "ann@recipient.example"


class Caller:
    """A program with a key."""

    def __init__(self, *scopes: str) -> None:
        self.key: ApiKey
        self.key, self.secret = key_with_secret(name="Shop", scopes=list(scopes))
        SendingProfileFactory.create(api_key=self.key)

    def ask(self, method: str, path: str = "", body: Any = None, status: int = 200) -> Any:
        answer = Client().generic(
            method,
            PATH + path,
            data=b"" if body is None else json.dumps(body),
            content_type="application/json",
            headers={"X-API-Key": self.secret},
        )
        assert answer.status_code == status, answer.content
        told = answer.json()
        assert set(told) == {"success", "code", "msg", "data"}
        return told["data"] if told["success"] else told["msg"]


@pytest.fixture
def caller() -> Caller:
    return Caller("read", "manage")


def test_a_suppression_is_added_found_and_lifted_and_leaves_its_history(caller: Caller) -> None:
    given = {"address": "Ann@Recipient.example", "note": "By phone."}
    assert caller.ask("POST", body=given, status=201) == {"new": 1, "standing": 0}
    assert caller.ask("POST", body=given) == {"new": 0, "standing": 1}
    (found,) = caller.ask("GET", f"/{ANN}")["suppressions"]
    assert (found["address"], found["reason"], found["note"], found["by"]) == (
        ANN,
        "manual",
        "By phone.",
        "API key Shop",
    )
    assert caller.ask("DELETE", f"/{ANN}?note=Asked+again") == {"lifted": 1}
    (ended,) = caller.ask("GET", f"/{ANN}")["history"]
    assert (ended["lifted_by"], ended["lift_note"]) == ("API key Shop", "Asked again")
    assert "nothing to lift" in caller.ask("DELETE", f"/{ANN}", status=404)


def test_what_the_recipient_said_is_lifted_only_with_a_note(caller: Caller) -> None:
    for reason in ("unsubscribed", "bounced"):
        SuppressionFactory.create(address=ANN, reason=reason)
    assert "give a note" in caller.ask("DELETE", f"/{ANN}", status=422)
    assert caller.ask("DELETE", f"/{ANN}?reason=bounced") == {"lifted": 1}
    assert caller.ask("DELETE", f"/{ANN}?note=She+wrote+to+us") == {"lifted": 1}


def test_many_are_added_all_or_none(caller: Caller) -> None:
    many = [{"address": f"r{number}@recipient.example"} for number in range(1000)]
    bad = [*many[:-1], {"address": "nobody"}]
    assert "Suppression 1000: " in caller.ask("POST", body={"suppressions": bad}, status=422)
    assert not Suppression.objects.exists()
    assert caller.ask("POST", body={"suppressions": many}, status=201)["new"] == 1000
    assert "1 to 1000" in caller.ask("POST", body={"suppressions": many * 2}, status=422)


def test_the_list_is_paged_by_a_key_and_filtered(caller: Caller) -> None:
    for number in range(7):
        reason = "bounced" if number % 2 else "unsubscribed"
        SuppressionFactory.create(address=f"r{number}@recipient.example", reason=reason)
    seen, before = [], ""
    while True:
        page = caller.ask("GET", f"?limit=3{before}")
        seen += [one["address"] for one in page["suppressions"]]
        if page["next_before"] is None:
            break
        before = f"&before={page['next_before']}"
    assert seen == [f"r{number}@recipient.example" for number in reversed(range(7))]
    assert len(caller.ask("GET", "?reason=bounced")["suppressions"]) == 3
    assert "not one of" in caller.ask("GET", "?reason=x", status=422)
    assert "limit must be" in caller.ask("GET", "?limit=x", status=422)


def test_a_check_names_the_rule_and_does_what_sending_would_do(
    caller: Caller, django_assert_max_num_queries: Any
) -> None:
    SuppressionFactory.create(address=ANN)
    SuppressionFactory.create(address="@gone.example", kind="domain", reason="blacklisted")
    asked = [ANN, "bob@gone.example", "carl@recipient.example"]
    verdicts = caller.ask("POST", "/check", {"addresses": asked})["verdicts"]
    assert [(one["allowed"], one["reason"], one["rule"]) for one in verdicts] == [
        (False, "unsubscribed", ANN),
        (False, "blacklisted", "@gone.example"),
        (True, "", ""),
    ]
    SendingProfile.objects.update(heeds_unsubscribes=False)
    (verdict,) = caller.ask("POST", "/check", {"addresses": [ANN]})["verdicts"]
    assert verdict["allowed"]
    assert "although unsubscribed" in verdict["msg"]
    (verdict,) = caller.ask("POST", "/check", {"addresses": [ANN], "stream": "bulk"})["verdicts"]
    assert not verdict["allowed"]
    assert not Message.objects.exists()
    many = {"addresses": [f"r{number}@recipient.example" for number in range(1000)]}
    with django_assert_max_num_queries(6):
        assert len(caller.ask("POST", "/check", many)["verdicts"]) == 1000


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"addresses": []},
        {"addresses": "ann"},
        {"addresses": [1]},
        {"addresses": ["@x.example"]},
    ],
)
def test_what_cannot_be_checked_is_explained(caller: Caller, body: Any) -> None:
    assert "address" in caller.ask("POST", "/check", body, status=422)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "address must be"),
        ({"address": ANN, "reason": "x"}, "not one of"),
        ({"address": ANN, "expires_at": "tomorrow"}, "with its zone"),
        ({"address": ANN, "expires_at": "2027-01-01T00:00:00"}, "with its zone"),
        ({"address": ANN, "expires_at": "2027-13-01T00:00:00Z"}, "with its zone"),
        ({"address": ANN, "expires_at": "2020-01-01T00:00:00Z"}, "is past"),
        ({"address": ANN, "note": 7}, "note must be"),
        ({"address": ANN, "note": "a\bb"}, "control character"),
        ({"address": "ann"}, "no @"),
    ],
)
def test_what_cannot_be_added_is_explained(caller: Caller, given: Any, why: str) -> None:
    assert why in caller.ask("POST", body=given, status=422)


def test_a_note_that_cannot_be_written_lifts_nothing(caller: Caller) -> None:
    caller.ask("POST", body={"address": ANN}, status=201)
    assert "control character" in caller.ask("DELETE", f"/{ANN}?note=%00", status=422)
    assert Suppression.objects.exists()


def test_each_call_needs_its_scope() -> None:
    reader, sender = Caller("read"), Caller("send")
    reader.ask("GET")
    reader.ask("POST", body={"address": ANN}, status=403)
    reader.ask("DELETE", f"/{ANN}", status=403)
    for method, path in (("GET", ""), ("POST", ""), ("POST", "/check"), ("GET", f"/{ANN}")):
        sender.ask(method, path, body={"addresses": [ANN]}, status=403)
    assert not Suppression.objects.exists()


def test_adding_takes_waiting_mail_out_of_the_queue(caller: Caller) -> None:
    waiting = MessageFactory.create(recipient=ANN)
    caller.ask("POST", body={"address": "@recipient.example"}, status=201)
    held = MessageFactory.create(recipient=ANN, status=Status.SENDING)
    caller.ask("POST", body={"address": ANN, "reason": "complained"}, status=201)
    for message in (waiting, held):
        message.refresh_from_db()
        assert message.status == Status.SUPPRESSED
