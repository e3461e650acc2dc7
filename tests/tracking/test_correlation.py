"""A mailed report finds its message, and does no more than what it proves."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from sending.models import Event, Message, ReportedBounce, SenderBlock, Status, Suppression
from tests.tracking.conftest import path_of
from tests.tracking.mails import arf, dsn, envelope_id_of, vacation
from tracking.correlation import take_report

pytestmark = pytest.mark.django_db


def take(content: bytes, *recipients: str) -> None:
    take_report(content, recipients=recipients, now=timezone.now())


def status_of(message: Message) -> str:
    return Message.objects.get(pk=message.pk).status


def suppressed() -> dict[str, str]:
    return dict(Suppression.objects.values_list("address", "reason"))


def test_a_bounce_to_the_signed_path_needs_no_more(sent) -> None:
    message = sent("Ann@recipient.example")
    take(dsn(message, has_message_id=False, recipient="moved@other.example"), path_of(message))

    assert status_of(message) == Status.BOUNCED
    # The address that we sent to, not the one it was forwarded to.
    assert suppressed() == {"ann@recipient.example": Suppression.Reason.HARD_BOUNCE}
    bounce = ReportedBounce.objects.get()
    assert (bounce.kind, bounce.enhanced_status) == ("hard", "5.1.1")
    assert "No such user" in bounce.diagnostic


def test_the_path_is_found_in_the_mail_when_the_envelope_is_unknown(sent) -> None:
    message = sent()
    content = dsn(message, has_message_id=False).replace(
        b"To: shop@sender.example", b"To: " + path_of(message).encode(), 1
    )
    take(content)
    assert status_of(message) == Status.BOUNCED


def test_a_path_with_a_foreign_signature_proves_nothing(sent) -> None:
    message = sent()
    take(dsn(message, has_message_id=False), path_of(message, key="somebody else's key"))
    assert status_of(message) == Status.SENT
    assert not suppressed()


@pytest.mark.parametrize("fields", [{}, {"has_message_id": False, "has_envelope_id": True}])
def test_message_id_or_envelope_id_prove_it_together_with_the_recipient(sent, fields) -> None:
    message = sent()
    take(dsn(message, **fields))
    assert status_of(message) == Status.BOUNCED
    assert suppressed() == {"ann@recipient.example": Suppression.Reason.HARD_BOUNCE}


def test_a_message_id_without_the_recipient_is_written_down_only(sent) -> None:
    message = sent()
    take(dsn(message, recipient="victim@other.example"))

    assert status_of(message) == Status.SENT
    assert not suppressed()
    event = Event.objects.get(message=message)
    assert event.kind == "unknown"
    assert "bounced. 550 5.1.1 No such user" in event.detail


def test_an_address_alone_does_nothing(sent) -> None:
    message = sent()
    take(dsn(message, has_message_id=False))
    assert status_of(message) == Status.SENT
    assert not Event.objects.exists()
    assert not suppressed()


def test_the_id_that_stands_in_every_link_proves_nothing(sent) -> None:
    message = sent()
    secret = f".{envelope_id_of(message).partition('.')[2]}".encode()
    for fields in ({}, {"has_message_id": False, "has_envelope_id": True}):
        content = dsn(message, **fields)
        assert content.count(secret) == 1
        take(content.replace(secret, b""))
    assert status_of(message) == Status.SENT
    assert not suppressed()


@pytest.mark.parametrize("forged", ["not-an-id", "00000000-0000-0000-0000-000000000000"])
def test_an_invented_envelope_id_does_nothing(sent, forged) -> None:
    message = sent()
    content = dsn(message, has_message_id=False, has_envelope_id=True)
    take(content.replace(str(message.id).encode(), forged.encode()))
    assert status_of(message) == Status.SENT


def test_a_recipient_in_xtext_is_recognised(sent) -> None:
    message = sent("ann+news@recipient.example")
    take(dsn(message, recipient="ann+2Bnews@recipient.example"))
    assert status_of(message) == Status.BOUNCED


def test_the_same_report_received_again_counts_once(sent) -> None:
    message = sent()
    for _ in range(3):
        take(dsn(message, status="5.2.2", words="552 5.2.2 Mailbox full"), path_of(message))
    assert ReportedBounce.objects.count() == 1
    assert Event.objects.filter(message=message, kind="bounced").count() == 1
    assert not suppressed()


def test_a_delay_changes_nothing_but_the_history(sent) -> None:
    message = sent()
    take(dsn(message, status="4.4.1", words="connection timed out", action="delayed"))
    assert status_of(message) == Status.SENT
    assert Event.objects.get(message=message).kind == "deferred"
    assert not ReportedBounce.objects.exists()


def test_a_report_of_success_makes_the_message_delivered(sent) -> None:
    message = sent()
    take(dsn(message, status="2.0.0", words="250 2.0.0 OK", action="delivered"), path_of(message))
    assert status_of(message) == Status.DELIVERED


def test_a_policy_block_is_the_senders_and_never_the_addresses(sent) -> None:
    for number in range(10):
        message = sent()
        take(
            dsn(message, status="5.7.1", words="550 5.7.1 blocked as spam", number=number),
            path_of(message),
        )
        assert status_of(message) == Status.REJECTED
    assert not suppressed()
    block = SenderBlock.objects.get()
    assert (block.sender_domain, block.recipient_domain, block.count) == (
        "sender.example",
        "recipient.example",
        10,
    )
    assert "blocked as spam" in block.reply


def test_a_complaint_suppresses_at_once(sent) -> None:
    message = sent()
    take(arf(message, path=path_of(message), recipient="redacted"))
    assert status_of(message) == Status.COMPLAINED
    assert suppressed() == {"ann@recipient.example": Suppression.Reason.COMPLAINT}


def test_a_complaint_that_hides_the_recipient_and_the_path_is_written_down_only(sent) -> None:
    message = sent()
    take(arf(message, recipient="redacted"))
    assert status_of(message) == Status.SENT
    assert not suppressed()
    assert "complained" in Event.objects.get(message=message).detail


def test_an_automatic_answer_never_counts(sent) -> None:
    message = sent()
    take(vacation(message), path_of(message))
    take(vacation(message, number=2))
    assert status_of(message) == Status.SENT
    assert {event.kind for event in Event.objects.filter(message=message)} == {"autoresponded"}
    assert not ReportedBounce.objects.exists()
    assert not suppressed()


def test_soft_bounces_that_were_reported_add_up_over_time(sent, monkeypatch) -> None:
    now = timezone.now()
    full = {"status": "5.2.2", "words": "552 5.2.2 Mailbox full"}
    for number, days in enumerate([15, 12, 8, 4, 0]):
        assert not suppressed()
        monkeypatch.setattr(timezone, "now", lambda days=days: now - timedelta(days=days))
        message = sent()
        take(dsn(message, number=number, **full), path_of(message))
    assert suppressed() == {"ann@recipient.example": Suppression.Reason.SOFT_BOUNCES}


def test_a_late_bounce_of_a_delivered_message_is_believed(sent) -> None:
    message = sent(status=Status.DELIVERED)
    take(dsn(message), path_of(message))
    assert status_of(message) == Status.BOUNCED


def test_a_bounce_settles_a_message_whose_answer_was_lost(sent) -> None:
    message = sent(status=Status.UNKNOWN)
    take(dsn(message), path_of(message))
    assert status_of(message) == Status.BOUNCED


def test_what_is_not_understood_stands_in_the_history_of_a_signed_path_alone(sent) -> None:
    message = sent()
    answer = f"From: ann@recipient.example\nIn-Reply-To: {message.message_id}\n\nWhere is it?\n"
    take(answer.encode())
    assert not Event.objects.exists()
    take(answer.encode(), path_of(message))
    event = Event.objects.get(message=message)
    assert (event.kind, event.status_after) == ("unknown", "")
    assert "no report" in event.detail
