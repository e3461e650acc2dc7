"""Walk (a): one POST over real HTTP, to the mail that a real SMTP server got."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
import requests
from django.utils import timezone

from sending.delivery import deliver_due
from sending.models import Message, Route, SendingProfile, Status, Suppression
from sending.suppressions import suppress
from tests.factories.apikeys import key_with_secret
from tests.factories.sending import SendingProfileFactory, TemplateFactory
from tests.sink import Sink

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]


@pytest.fixture
def caller(live_server: Any, route: Route) -> Caller:
    return Caller(live_server.url)


class Caller:
    """A program with an API key."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.key, self.secret = key_with_secret(name="Shop")
        self.profile: SendingProfile = SendingProfileFactory.create(
            api_key=self.key,
            template=TemplateFactory.create(
                version__subject="Hello {{.API.name}}",
                version__html="<p>Hi {{.API.name}}, you are {{.Subscriber.Email}}</p>",
            ),
            sender_address="shop@sender.example",
            sender_name="The Shop",
            route=None,
        )

    def post(self, body: Any, *, path: str = "send", **kwargs: Any) -> requests.Response:
        headers = {"X-API-Key": self.secret} | kwargs.pop("headers", {})
        url = f"{self.url}/api/batch_mail/api/{path}"
        if isinstance(body, bytes):
            return requests.post(url, data=body, headers=headers, timeout=60, **kwargs)
        return requests.post(url, json=body, headers=headers, timeout=60, **kwargs)


def test_the_guides_request_is_answered_with_the_documented_body_and_the_mail_arrives(
    caller: Caller, sink: Sink
) -> None:
    answer = caller.post({"recipient": "ann@recipient.example", "attribs": {"name": "Ann"}})

    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "code": 0,
        "msg": "Email sent successfully",
        "data": None,
    }
    assert list(answer.json()) == ["success", "code", "msg", "data"]
    message = Message.objects.get()
    assert answer.headers["X-Message-ID"] == str(message.id)

    deliver_due()

    (mail,) = sink.messages
    assert sink.recipients == ["ann@recipient.example"]
    assert mail["To"] == "ann@recipient.example"
    assert mail["From"] == "The Shop <shop@sender.example>"
    assert mail["Subject"] == "Hello Ann"
    assert mail["Message-ID"] == message.message_id
    text, html = mail.iter_parts()
    assert text.get_content_type() == "text/plain"
    assert text.get_content().strip() == "Hi Ann, you are ann@recipient.example"
    assert html.get_content() == "<p>Hi Ann, you are ann@recipient.example</p>"


def test_the_history_of_a_sent_message_is_unbroken(caller: Caller, sink: Sink) -> None:
    caller.post({"recipient": "ann@recipient.example"})
    deliver_due()

    message = Message.objects.get()
    assert message.status == Status.SENT
    steps = list(message.events.order_by("id").values_list("status_before", "status_after"))
    assert steps == [("", "queued"), ("queued", "sending"), ("sending", "sent")]
    attempt = message.attempts.get()
    assert (attempt.number, attempt.reply_code, attempt.enhanced_status) == (1, 250, "2.0.0")
    assert attempt.route == Route.objects.get()


def test_an_addresser_of_an_allowed_domain_becomes_the_sender(caller: Caller, sink: Sink) -> None:
    answer = caller.post({"recipient": "ann@recipient.example", "addresser": "shop@sender.example"})
    assert answer.json()["success"] is True

    refused = caller.post({"recipient": "ann@recipient.example", "addresser": "x@evil.example"})
    assert refused.status_code == 403
    assert refused.json()["code"] == 1005
    assert "x@evil.example is not an allowed sender" in refused.json()["msg"]


def test_a_missing_or_wrong_key_is_refused_with_1001(caller: Caller) -> None:
    bodies = [
        caller.post({"recipient": "ann@recipient.example"}, headers={"X-API-Key": key})
        for key in ("", "nonsense", caller.secret[:-1] + "x")
    ]
    assert {answer.status_code for answer in bodies} == {401}
    assert {answer.text for answer in bodies} == {
        '{"success":false,"code":1001,"msg":"Invalid API key","data":null}'
    }


def test_an_address_outside_the_whitelist_is_refused_with_1002(caller: Caller) -> None:
    caller.key.networks = ["192.0.2.0/24"]
    caller.key.save()
    answer = caller.post({"recipient": "ann@recipient.example"})
    assert (answer.status_code, answer.json()["code"]) == (403, 1002)


@pytest.mark.parametrize("recipient", [None, "", 7, [], "ann", "ann@localhost", "a@b.c, d@e.f"])
def test_an_impossible_recipient_is_refused_with_1003(caller: Caller, recipient: Any) -> None:
    answer = caller.post({"recipient": recipient})
    assert (answer.status_code, answer.json()["code"]) == (422, 1003)
    assert answer.json()["msg"].startswith("Invalid recipient: ")
    assert not Message.objects.exists()


def test_a_suppressed_recipient_is_refused_with_1003_and_the_rule(caller: Caller) -> None:
    suppress("ann@recipient.example", reason=Suppression.Reason.UNSUBSCRIBED, now=timezone.now())
    answer = caller.post({"recipient": "Ann@Recipient.Example"})
    assert (answer.status_code, answer.json()["code"]) == (422, 1003)
    assert "unsubscribed" in answer.json()["msg"]
    assert Message.objects.get().status == Status.SUPPRESSED


def test_a_disabled_template_is_refused_with_1004(caller: Caller) -> None:
    caller.profile.template.is_active = False
    caller.profile.template.save()
    answer = caller.post({"recipient": "ann@recipient.example"})
    assert (answer.status_code, answer.json()["code"]) == (404, 1004)


def test_attribs_that_are_no_object_of_scalars_are_refused_with_1005(caller: Caller) -> None:
    for attribs in ([], "x", {"a": {}}, {"a": [1]}, {"a": "x" * 9000}):
        answer = caller.post({"recipient": "ann@recipient.example", "attribs": attribs})
        assert (answer.status_code, answer.json()["code"]) == (422, 1005), attribs


def test_a_used_up_quota_is_refused_with_1006_and_the_time_to_wait(caller: Caller) -> None:
    caller.key.quota_per_day = 1
    caller.key.save()
    assert caller.post({"recipient": "ann@recipient.example"}).status_code == 200
    answer = caller.post({"recipient": "ann@recipient.example"})
    assert (answer.status_code, answer.json()["code"]) == (429, 1006)
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["RateLimit-Limit"] == "1"
    assert Message.objects.count() == 1


def test_legacy_http_200_answers_errors_with_200_and_the_same_body(
    caller: Caller, settings: Any
) -> None:
    settings.LEGACY_HTTP_200 = True
    answer = caller.post({"recipient": "ann"})
    assert (answer.status_code, answer.json()["code"]) == (200, 1003)


def test_unknown_fields_are_ignored(caller: Caller) -> None:
    assert caller.post({"recipient": "ann@recipient.example", "colour": 1}).json()["success"]


BAD_BODIES = {
    "not JSON": b"{",
    "an array": b"[]",
    "a text": b'"x"',
    "not UTF-8": b'{"recipient": "\xff@x.example"}',
    "NUL": b'{"recipient": "ann@recipient.example", "attribs": {"a": "\\u0000"}}',
    "lone surrogate": b'{"recipient": "ann@recipient.example", "attribs": {"a": "\\ud800"}}',
    "duplicate key": b'{"recipient": "a@recipient.example", "recipient": "b@recipient.example"}',
    "NaN": b'{"recipient": "ann@recipient.example", "attribs": {"a": NaN}}',
    "a number beyond all numbers": b'{"recipient": "ann@x.example", "attribs": {"a": 1e999}}',
    "a byte order mark": b'\xef\xbb\xbf{"recipient": "ann@recipient.example"}',
    "nested": b'{"a": ' + b"[" * 50 + b"]" * 50 + b"}",
    "nested without end": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number of 10,000 digits": b'{"a": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_bad_body_is_answered_in_the_envelope(caller: Caller, name: str) -> None:
    answer = caller.post(BAD_BODIES[name], headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["success", "code", "msg", "data"]
    assert answer.json()["code"] == 1005
    assert not Message.objects.exists()


def test_a_body_that_is_too_large_or_of_another_type_is_answered_in_the_envelope(
    caller: Caller,
) -> None:
    large = caller.post({"recipient": "a@recipient.example", "attribs": {"a": "x" * 300_000}})
    assert (large.status_code, large.json()["code"]) == (413, 1005)
    other = caller.post(b"recipient=x", headers={"Content-Type": "text/plain"})
    assert (other.status_code, other.json()["code"]) == (415, 1005)
    assert "application/json" in other.json()["msg"]


def test_another_method_or_address_is_answered_in_the_envelope(caller: Caller) -> None:
    headers = {"X-API-Key": caller.secret}
    for method, path, status in (("GET", "send", 405), ("POST", "nowhere", 404)):
        url = f"{caller.url}/api/batch_mail/api/{path}"
        answer = requests.request(method, url, headers=headers, timeout=60)
        assert answer.status_code == status
        assert list(answer.json()) == ["success", "code", "msg", "data"]


def test_a_batch_is_trimmed_deduplicated_and_delivered(caller: Caller, sink: Sink) -> None:
    answer = caller.post(
        {
            "recipients": [" ann@recipient.example ", "ANN@recipient.example", "bob", 7,
                           "bob@recipient.example"],
            "attribs": {"name": "friend"},
        },
        path="batch_send",
    )  # fmt: skip
    body = answer.json()
    assert body["msg"] == "Batch email send request accepted, 2 emails queued"
    assert body["data"]["queued"] == 2
    assert [(one["recipient"], one["code"]) for one in body["data"]["rejected"]] == [
        ("bob", 1003),
        ("7", 1003),
    ]
    deliver_due()
    assert sorted(sink.recipients) == ["ann@recipient.example", "bob@recipient.example"]


def test_a_request_marks_its_mail_and_a_batch_is_told_its_id(caller: Caller) -> None:
    marks = {"tags": ["welcome", " spring "], "variant": "B"}
    single = caller.post({"recipient": "ann@recipient.example", **marks})
    assert "X-Batch-ID" not in single.headers
    batches = [
        caller.post(
            {"recipients": ["a@recipient.example", "b@recipient.example"], **marks},
            path="batch_send",
        )
        for _ in range(2)
    ]
    assert batches[0].json()["data"] == {"queued": 2, "rejected": []}
    ids = [UUID(answer.headers["X-Batch-ID"]) for answer in batches]
    assert [one.version for one in ids] == [7, 7]
    stored = Message.objects.values_list("batch_id", flat=True).order_by("id")
    assert list(stored) == [None, ids[0], ids[0], ids[1], ids[1]]
    for message in Message.objects.all():
        assert (message.tags, message.variant) == (["welcome", "spring"], "B")


def test_marks_that_are_none_are_refused_with_1005(caller: Caller) -> None:
    for body in ({"tags": "welcome"}, {"tags": ["a@b.example"]}, {"variant": 1}):
        answer = caller.post({"recipient": "ann@recipient.example", **body})
        assert (answer.status_code, answer.json()["code"]) == (422, 1005)
    assert not Message.objects.exists()


def test_a_batch_without_a_valid_recipient_is_refused_with_1003(caller: Caller) -> None:
    for recipients in ([], ["x"], None, "ann@recipient.example"):
        answer = caller.post({"recipients": recipients}, path="batch_send")
        assert (answer.status_code, answer.json()["code"]) == (422, 1003)


def test_ten_thousand_recipients_fit_in_one_call_and_one_more_does_not(caller: Caller) -> None:
    recipients = [f"a-somewhat-longer-name-{number}@recipient.example" for number in range(10_001)]
    answer = caller.post({"recipients": recipients[:-1]}, path="batch_send")
    assert answer.json()["data"]["queued"] == 10_000
    assert Message.objects.filter(status=Status.QUEUED).count() == 10_000
    assert caller.post({"recipients": recipients}, path="batch_send").status_code == 422
