"""Providers' events are believed when they are proven, each once, in whatever order they come."""

from __future__ import annotations

import base64
import json
import random
from collections import Counter

import pytest
from anymail.exceptions import AnymailNotSupportedWarning
from django.db import connection
from django.test import Client

from sending.models import Event, Message, Status, Suppression
from tests.factories.sending import AttemptFactory
from tests.tracking.hooks import payloads
from tests.tracking.hooks.payloads import KINDS, PROVIDERS, SETTINGS
from tracking.models import Visit
from tracking.report_checks import check_webhooks
from tracking.webhook_protection import PROVIDERS as PROTECTIONS

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings(f"ignore::{AnymailNotSupportedWarning.__module__}."
                               f"{AnymailNotSupportedWarning.__name__}"),
]  # fmt: skip

NAMES = sorted(PROVIDERS)
STATUS = {
    "delivered": Status.DELIVERED,
    "bounced": Status.BOUNCED,
    "complained": Status.COMPLAINED,
    "opened": Status.SENT,
    "clicked": Status.SENT,
}
REASON = {"bounced": "bounced", "complained": "complained"}


@pytest.fixture(autouse=True)
def webhooks(settings):
    settings.WEBHOOKS = list(PROTECTIONS)
    settings.ANYMAIL = dict(SETTINGS)


def post(provider: str, body: bytes, head: dict[str, str]):
    return Client(raise_request_exception=False).post(
        f"/hooks/{provider}/", body, content_type="application/json", headers=head
    )


def status_of(message: Message) -> str:
    return Message.objects.get(pk=message.pk).status


def told(message: Message) -> Counter[str]:
    return Counter(Event.objects.filter(message=message).values_list("kind", flat=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("provider", NAMES)
def test_an_event_moves_the_message_and_ends_the_address_when_it_must(sent, provider, kind) -> None:
    message = sent()
    assert post(provider, *PROVIDERS[provider](message, kind, 0)).status_code == 200

    assert status_of(message) == STATUS[kind]
    assert told(message) == {kind: 1}
    orders = Suppression.objects.values_list("address", "reason")
    expected = [("ann@recipient.example", REASON[kind])] if kind in REASON else []
    assert list(orders) == expected


@pytest.mark.parametrize("provider", NAMES)
def test_repeated_and_shuffled_events_have_the_same_end(sent, provider) -> None:
    messages = [sent(f"ann{number}@recipient.example") for number in range(2)]
    posts = [
        (message, kind, second)
        for message in messages
        for second, kind in enumerate([*KINDS, "opened", "clicked"])
    ] * 3
    # Another order for each provider; they all end in the same ledger.
    random.Random(provider).shuffle(posts)
    for message, kind, second in posts:
        assert post(provider, *PROVIDERS[provider](message, kind, second)).status_code == 200

    for message in messages:
        assert status_of(message) == Status.COMPLAINED
        assert told(message) == {
            "delivered": 1,
            "bounced": 1,
            "complained": 1,
            "opened": 2,
            "clicked": 2,
        }
    assert set(Suppression.objects.values_list("reason", flat=True)) == {"bounced", "complained"}


def test_an_event_may_precede_our_own_record_of_the_answer(sent) -> None:
    message = sent(status=Status.UNKNOWN)
    post("postmark", *payloads.postmark(message, "delivered", 0))
    assert status_of(message) == Status.DELIVERED


@pytest.mark.parametrize(("kind", "status"), [("bounced", "bounced"), ("delivered", "delivered")])
def test_a_provider_without_metadata_is_understood_by_its_own_id(sent, kind, status) -> None:
    message = sent()
    AttemptFactory.create(message=message, route=message.api_key.sending_profile.route,
                          transport_id="4711")  # fmt: skip
    assert post("postal", *payloads.postal(message, kind, 0)).status_code == 200
    assert status_of(message) == status


@pytest.mark.parametrize("provider", NAMES)
def test_an_event_without_the_secret_or_the_signature_is_refused(sent, settings, provider) -> None:
    message = sent()
    body, head = PROVIDERS[provider](message, "complained", 0)
    assert post(provider, body, {}).status_code in (400, 401)
    wrong = {"Authorization": "Basic " + base64.b64encode(b"billionmail:wrong").decode()}
    assert post(provider, body, head | wrong).status_code == 400
    assert status_of(message) == Status.SENT


@pytest.mark.parametrize("provider", ["mailgun", "resend", "sendgrid"])
def test_a_signature_that_does_not_fit_the_body_is_refused(sent, provider) -> None:
    message = sent()
    body, head = PROVIDERS[provider](message, "complained", 0)
    if provider == "mailgun":
        event = json.loads(body)
        event["signature"]["token"] = "0" * 64
        body = json.dumps(event).encode()
    else:
        body = body.replace(b"recipient.example", b"recipient.invalid")
    assert post(provider, body, head).status_code == 400
    assert status_of(message) == Status.SENT


@pytest.mark.parametrize("provider", sorted(PROTECTIONS))
def test_a_webhook_without_any_protection_answers_nothing(sent, settings, provider) -> None:
    settings.ANYMAIL = {"WEBHOOK_SECRET": []}
    message = sent()
    body, head = payloads.postmark(message, "complained", 0)
    assert post(provider, body, head).status_code == 403
    settings.WEBHOOKS = [provider]
    (error,) = check_webhooks()
    assert error.id == "tracking.E102"
    assert provider in error.msg


def test_a_provider_that_is_not_listed_has_no_webhook(sent, settings) -> None:
    settings.WEBHOOKS = ["sendgrid"]
    assert post("postmark", *payloads.postmark(sent(), "complained", 0)).status_code == 404
    settings.WEBHOOKS = ["postmark"]
    assert post("nobody", b"{}", {}).status_code == 404


def test_the_check_names_unknown_providers_and_weak_secrets(settings) -> None:
    settings.WEBHOOKS = ["postmrk"]
    assert [error.id for error in check_webhooks()] == ["tracking.E101"]
    settings.WEBHOOKS, settings.ANYMAIL = ["postmark"], {"WEBHOOK_SECRET": ["user:short"]}
    assert [error.id for error in check_webhooks()] == ["tracking.E102"]
    settings.ANYMAIL = dict(SETTINGS)
    assert check_webhooks() == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"null", b"\xff", b'{"Type": 5}', b"[1]"])
@pytest.mark.parametrize("provider", NAMES)
def test_a_body_that_is_no_event_is_no_defect_of_ours(provider, body) -> None:
    assert post(provider, body, payloads.AUTHORIZED).status_code in (200, 400)


@pytest.mark.django_db(transaction=True)
def test_while_the_database_is_away_the_provider_has_to_come_again(sent) -> None:
    message = sent()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sending_message RENAME TO sending_message_away")
    try:
        answer = post("postmark", *payloads.postmark(message, "bounced", 0))
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE sending_message_away RENAME TO sending_message")
    assert answer.status_code >= 500


def sns(url: str, **fields: str):
    body = {
        "Type": "SubscriptionConfirmation",
        "MessageId": "sns-1",
        "TopicArn": "arn:aws:sns:us-east-1:123456789012:events",
        "Token": "t",
        "SubscribeURL": url,
    } | fields
    head = {
        "X-Amz-Sns-Message-Type": "SubscriptionConfirmation",
        "X-Amz-Sns-Message-Id": "sns-1",
    }
    return post("amazon_ses", json.dumps(body).encode(), payloads.AUTHORIZED | head)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription",
        "https://169.254.169.254/latest/meta-data/",
        "https://sns.us-east-1.amazonaws.com.evil.example/?Action=ConfirmSubscription",
        "https://sns.us-east-1.amazonaws.com@evil.example/?Action=ConfirmSubscription",
        "https://sns.us-east-1.amazonaws.com:8443/?Action=ConfirmSubscription",
        "https://sns.us-east-1.amazonaws.com/?Action=DeleteTopic",
        "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:other",
    ],
)
def test_a_subscription_is_confirmed_nowhere_but_at_amazon(url) -> None:
    assert sns(url).status_code == 400


def test_a_soft_bounce_of_a_provider_ends_no_address_at_once(sent) -> None:
    message = sent()
    body, head = payloads.brevo(message, "bounced", 0)
    event = json.loads(body) | {"event": "soft_bounce", "reason": "552 5.2.2 Mailbox full"}
    post("brevo", json.dumps(event).encode(), head)
    assert status_of(message) == Status.BOUNCED
    assert not Suppression.objects.exists()


def test_a_block_that_a_provider_tells_ends_no_address(sent) -> None:
    message = sent()
    body, head = payloads.sparkpost(message, "bounced", 0)
    events = json.loads(body)
    events[0]["msys"]["message_event"] |= {"bounce_class": "51"}
    post("sparkpost", json.dumps(events).encode(), head)
    assert status_of(message) == Status.REJECTED
    assert not Suppression.objects.exists()


@pytest.mark.parametrize("kind", ["opened", "clicked"])
def test_a_hit_of_which_the_provider_names_no_client_is_nobodys(sent, kind) -> None:
    message = sent()
    post("brevo", *payloads.brevo(message, kind, 600))
    visit = Visit.objects.get()
    assert (visit.label, visit.is_human) == ("unknown", False)
    assert Event.objects.get(message=message).detail == (payloads.LINK if kind == "clicked" else "")


def test_a_hit_of_a_browser_that_the_provider_names_is_a_persons(sent) -> None:
    message = sent()
    post("postmark", *payloads.postmark(message, "clicked", 600))
    assert Visit.objects.get().is_human
    assert Message.objects.get(pk=message.pk).clicked_at is not None
