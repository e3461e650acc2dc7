"""Hand messages to providers, imitated on the loopback."""

from __future__ import annotations

import email
import email.policy
import json
import socket
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qs

import pytest

from sending.errors import (
    ConfigurationError,
    LeaseLost,
    PermanentError,
    Phase,
    TransientError,
)
from sending.outgoing import Mailbox
from sending.replies import Kind, classify
from sending.transports import AnymailTransport
from tests.sending.transports.provider import Answer

POSTMARK_OK = {"ErrorCode": 0, "Message": "OK", "MessageID": "pm-1", "To": "ann@example.org"}
MAILGUN_OK = {"id": "<mg-1@example.com>", "message": "Queued. Thank you."}
SMTP_BACKEND = "django.core.mail.backends.smtp.EmailBackend"


def yes() -> bool:
    return True


@pytest.fixture
def postmark(provider):
    transport = AnymailTransport(
        backend="anymail.backends.postmark.EmailBackend",
        options={"server_token": "token", "api_url": provider.url, "timeout": 0.5},
    )
    yield transport
    transport.close()


@pytest.fixture
def mailgun(provider):
    transport = AnymailTransport(
        backend="anymail.backends.mailgun.EmailBackend",
        options={"api_key": "key", "api_url": provider.url + "v3", "timeout": 0.5},
    )
    yield transport
    transport.close()


def test_postmark_gets_the_whole_message(provider, postmark, make_outgoing):
    provider.answer = Answer(body=POSTMARK_OK)
    outgoing = make_outgoing(
        reply_to=Mailbox("help@example.com"),
        headers=(("List-Unsubscribe", "<https://example.com/u/1>"),),
        metadata={"key": "k1"},
    )

    receipt = postmark.send(outgoing, before_body=yes)

    assert receipt.transport_id == "pm-1"
    path, headers, body = provider.requests[0]
    request = json.loads(body)
    assert path == "/email"
    assert headers["X-Postmark-Server-Token"] == "token"
    assert request["From"] == "The Shop <shop@example.com>"
    assert request["To"] == "ann@example.org"
    assert request["ReplyTo"] == "help@example.com"
    assert (request["Subject"], request["TextBody"]) == ("Your order", "Thank you.\n")
    assert request["HtmlBody"] == "<p>Thank you.</p>\n"
    sent_headers = {each["Name"]: each["Value"] for each in request["Headers"]}
    assert sent_headers["Message-ID"] == outgoing.message_id
    assert sent_headers["List-Unsubscribe"] == "<https://example.com/u/1>"
    assert request["Metadata"] == {"message_id": str(outgoing.id), "key": "k1"}


def test_mailgun_gets_the_message_and_queued_means_sent(provider, mailgun, make_outgoing):
    provider.answer = Answer(body=MAILGUN_OK)
    outgoing = make_outgoing()

    receipt = mailgun.send(outgoing, before_body=yes)

    assert receipt.transport_id == "<mg-1@example.com>"
    path, _, body = provider.requests[0]
    fields = parse_qs(body.decode())
    assert path == "/v3/bounce.example.com/messages"  # by the envelope sender
    assert fields["h:Message-Id"] == [outgoing.message_id]
    assert fields["v:message_id"] == [str(outgoing.id)]


@pytest.mark.parametrize("name", ["Grüße, Ann", 'The "Shop"', "back\\slash", ""])
def test_a_sender_name_arrives_as_it_is(provider, mailgun, make_outgoing, name):
    provider.answer = Answer(body=MAILGUN_OK)
    outgoing = make_outgoing(sender=Mailbox("shop@example.com", name))

    mailgun.send(outgoing, before_body=yes)

    [given] = parse_qs(provider.requests[0][2].decode())["from"]
    message = email.message_from_string(f"From: {given}\n\n", policy=email.policy.default)
    [address] = message["From"].addresses
    assert (address.display_name, address.addr_spec) == (name, "shop@example.com")


def test_what_an_api_cannot_express_is_refused_unless_it_is_dispensable(
    provider, mailgun, make_outgoing
):
    provider.answer = Answer(body=MAILGUN_OK)

    with pytest.raises(PermanentError, match="does not support EAI") as refused:
        mailgun.send(make_outgoing(sender=Mailbox("jürgen@example.com")), before_body=yes)

    assert refused.value.reply.enhanced == "5.6.0"
    assert provider.requests == []


def test_one_transport_carries_many_messages(provider, postmark, make_outgoing):
    provider.answer = Answer(body=POSTMARK_OK)

    for _ in range(3):
        postmark.send(make_outgoing(), before_body=yes)

    assert len(provider.requests) == 3


def test_nothing_is_asked_of_the_provider_when_the_lease_is_lost(provider, postmark, make_outgoing):
    with pytest.raises(LeaseLost):
        postmark.send(make_outgoing(), before_body=lambda: False)

    assert provider.requests == []


def in_an_hour() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)


@pytest.mark.parametrize(
    ("write", "seconds"),
    [(lambda: "17", 17), (in_an_hour, 3600), (lambda: "soon", None), (str, None)],
    ids=["seconds", "date", "nonsense", "nothing"],
)
def test_a_429_says_when_to_come_back(provider, mailgun, make_outgoing, write, seconds):
    provider.answer = Answer(429, "Too many requests", {"Retry-After": write()})

    with pytest.raises(TransientError) as refused:
        mailgun.send(make_outgoing(), before_body=yes)

    assert refused.value.retry_after_seconds == (
        pytest.approx(seconds, abs=30) if seconds else None
    )
    assert not refused.value.is_ambiguous
    assert classify(refused.value.reply, phase=refused.value.phase).kind is Kind.THROTTLE


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_server_error_of_the_provider_is_ambiguous(provider, postmark, make_outgoing, status):
    provider.answer = Answer(status, "<html>Oops</html>")

    with pytest.raises(TransientError, match="may have arrived") as lost:
        postmark.send(make_outgoing(), before_body=yes)

    assert lost.value.is_ambiguous
    assert classify(lost.value.reply, phase=lost.value.phase).outcome == "deferred"


def test_a_provider_that_is_closed_is_not_ambiguous(provider, postmark, make_outgoing):
    provider.answer = Answer(503, "Maintenance", {"Retry-After": "60"})

    with pytest.raises(TransientError) as refused:
        postmark.send(make_outgoing(), before_body=yes)

    assert (refused.value.is_ambiguous, refused.value.retry_after_seconds) == (False, 60)


def test_a_provider_that_does_not_answer_is_ambiguous(provider, postmark, make_outgoing):
    provider.answer = Answer(delay=threading.Event())

    with pytest.raises(TransientError) as lost:
        postmark.send(make_outgoing(), before_body=yes)

    provider.answer.delay.set()
    assert lost.value.is_ambiguous


def test_a_provider_that_hangs_up_is_ambiguous(provider, postmark, make_outgoing):
    provider.answer = Answer(is_dropped=True)

    with pytest.raises(TransientError) as lost:
        postmark.send(make_outgoing(), before_body=yes)

    assert lost.value.is_ambiguous


def test_an_acceptance_that_cannot_be_read_is_ambiguous(provider, postmark, make_outgoing):
    provider.answer = Answer(200, "OK, but not JSON")

    with pytest.raises(TransientError) as lost:
        postmark.send(make_outgoing(), before_body=yes)

    assert lost.value.is_ambiguous


def test_a_provider_that_cannot_be_reached_is_safe_to_retry(make_outgoing):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    transport = AnymailTransport(
        backend="anymail.backends.postmark.EmailBackend",
        options={"server_token": "token", "api_url": f"http://127.0.0.1:{port}/"},
    )

    with pytest.raises(TransientError) as lost:
        transport.send(make_outgoing(), before_body=yes)

    assert (lost.value.phase, lost.value.is_ambiguous) == (Phase.CONNECT, False)
    [usable, reached] = transport.check()
    assert (usable.ok, reached.ok) == (True, False)
    transport.close()


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_is_a_configuration_error(provider, mailgun, make_outgoing, status):
    provider.answer = Answer(status, "Forbidden")

    with pytest.raises(ConfigurationError) as refused:
        mailgun.send(make_outgoing(), before_body=yes)

    verdict = classify(refused.value.reply, phase=refused.value.phase)
    assert (verdict.kind, verdict.outcome) == (Kind.CONFIGURATION, "deferred")
    assert "key" not in str(refused.value.reply)


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_a_request_that_is_refused_is_permanent_and_suppresses_nobody(
    provider, mailgun, make_outgoing, status
):
    provider.answer = Answer(status, {"message": "to parameter is not a valid address"})

    with pytest.raises(PermanentError) as refused:
        mailgun.send(make_outgoing(), before_body=yes)

    verdict = classify(refused.value.reply, phase=refused.value.phase)
    assert (verdict.outcome, verdict.suppress) == ("rejected", "")
    assert "not a valid address" in refused.value.reply.text


@pytest.mark.parametrize(
    ("error_code", "text", "kind"),
    [
        (
            406,
            "You tried to send to an inactive recipient. Found inactive addresses: ann@example.org."
            " Inactive recipients are ones that have generated a hard bounce.",
            Kind.POLICY,
        ),
        (300, "Invalid 'To' address: 'ann@example.org'.", Kind.HARD),
    ],
)
def test_a_refused_recipient_is_permanent(
    provider, postmark, make_outgoing, error_code, text, kind
):
    provider.answer = Answer(422, {"ErrorCode": error_code, "Message": text})

    with pytest.raises(PermanentError) as refused:
        postmark.send(make_outgoing(), before_body=yes)

    assert refused.value.phase is Phase.RCPT
    assert classify(refused.value.reply, phase=refused.value.phase).kind is kind


def test_a_refused_recipient_is_seen_when_the_backend_ignores_it(provider, make_outgoing):
    transport = AnymailTransport(
        backend="anymail.backends.postmark.EmailBackend",
        options={"server_token": "t", "api_url": provider.url, "ignore_recipient_status": True},
    )
    text = "Invalid 'To' address: 'ann@example.org'."
    provider.answer = Answer(422, {"ErrorCode": 300, "Message": text})

    with pytest.raises(PermanentError):
        transport.send(make_outgoing(), before_body=yes)

    transport.close()


@pytest.mark.parametrize(
    ("backend", "options"),
    [
        ("anymail.backends.postmark.EmailBackend", {}),
        ("anymail.backends.nowhere.EmailBackend", {}),
        ("no dots", {}),
        ("collections.OrderedDict", {}),
        (SMTP_BACKEND, {"use_tls": True, "use_ssl": True}),
    ],
)
def test_a_backend_that_cannot_be_used_is_a_configuration_error(make_outgoing, backend, options):
    transport = AnymailTransport(backend=backend, options=options)

    with pytest.raises(ConfigurationError, match="Correct the route's backend"):
        transport.send(make_outgoing(), before_body=lambda: pytest.fail("asked"))

    assert [finding.ok for finding in transport.check()] == [False]


def test_check_reaches_the_api_and_sends_nothing(provider, postmark):
    findings = postmark.check()

    assert [finding.ok for finding in findings] == [True, True]
    assert "HTTP 404" in findings[1].text
    assert provider.requests == []
