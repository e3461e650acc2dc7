"""Reports come in over SMTP and LMTP, and one that was answered with 250 is written down."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from datetime import datetime

import pytest
from django.conf import LazySettings
from django.db import connection

from sending.models import Message, Status, Suppression
from tests.tracking.conftest import path_of
from tests.tracking.mails import arf, dsn
from tracking.intake import ReportServer

pytestmark = pytest.mark.django_db(transaction=True)

FBL = "fbl@bounce.example.com"


def running(**options: object) -> Iterator[ReportServer]:
    server = ReportServer(**options)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(settings: LazySettings) -> Iterator[ReportServer]:
    settings.REPORT_ADDRESSES = [FBL]
    yield from running(max_bytes=200_000)


@pytest.fixture
def lmtp_server() -> Iterator[ReportServer]:
    yield from running(is_lmtp=True)


@pytest.fixture
def client(server: ReportServer) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP("127.0.0.1", server.port, timeout=60) as client:
        yield client


def status_of(message: Message) -> str:
    return Message.objects.get(pk=message.pk).status


def test_a_bounce_over_smtp_ends_the_address(client, sent) -> None:
    message = sent()
    client.sendmail("", path_of(message), dsn(message))
    assert status_of(message) == Status.BOUNCED
    assert Suppression.objects.get().address == "ann@recipient.example"


def test_a_complaint_to_a_listed_address_is_taken(client, sent) -> None:
    message = sent()
    client.sendmail("feedback@isp.example", "FBL@bounce.example.com", arf(message))
    assert status_of(message) == Status.COMPLAINED


@pytest.mark.parametrize(
    "address", ["ann@recipient.example", "b+a.b@bounce.example.com", "postmaster@example.com"]
)
def test_who_is_not_ours_is_refused(client, address) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        client.sendmail("", address, b"Subject: hello\r\n\r\n")
    assert refused.value.recipients[address][0] == 550


def test_a_forged_path_is_refused(client, sent) -> None:
    message = sent()
    forged = path_of(message, key="somebody else's key")
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        client.sendmail("", forged, dsn(message))


def test_a_report_waits_with_its_sender_while_the_database_is_away(client, sent, caplog) -> None:
    message = sent()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sending_message RENAME TO sending_message_away")
    try:
        with pytest.raises(smtplib.SMTPDataError) as refused:
            client.sendmail("", path_of(message), dsn(message))
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE sending_message_away RENAME TO sending_message")
    assert refused.value.smtp_code == 451

    client.sendmail("", path_of(message), dsn(message))
    assert status_of(message) == Status.BOUNCED
    assert "could not be written down" in caplog.text


def test_a_mail_that_is_too_long_is_refused(client, sent) -> None:
    message = sent()
    with pytest.raises((smtplib.SMTPDataError, smtplib.SMTPSenderRefused)) as refused:
        client.sendmail("", path_of(message), dsn(message) + b"x\r\n" * 100_000)
    assert refused.value.smtp_code == 552


def test_lines_longer_than_the_standard_allows_are_taken(client, sent) -> None:
    message = sent()
    content = dsn(message).replace(b"\n--b--", b"X-Long: " + b"x" * 5000 + b"\n--b--")
    client.sendmail("", path_of(message), content)
    assert status_of(message) == Status.BOUNCED


def test_lmtp_answers_for_each_recipient(lmtp_server, sent) -> None:
    messages = [sent("ann@recipient.example"), sent("bob@recipient.example")]
    with smtplib.LMTP("127.0.0.1", lmtp_server.port) as client:
        client.sock.settimeout(20)
        client.ehlo_or_helo_if_needed()
        client.mail("<>")
        for message in messages:
            assert client.rcpt(path_of(message))[0] == 250
        client.docmd("DATA")
        client.send(dsn(messages[0]).replace(b"\n", b"\r\n") + b".\r\n")
        assert [client.getreply()[0], client.getreply()[0]] == [250, 250]
    assert status_of(messages[0]) == Status.BOUNCED


class Handler:
    """Take the mail to one address of a later app."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes]] = []

    def accepts(self, address: str) -> bool:
        return address.startswith("u+")

    def take(self, address: str, *, content: bytes, now: datetime) -> str:
        self.taken.append((address, content))
        return "unsubscribed"


handler = Handler()


def test_mail_to_an_address_of_a_later_app_goes_to_its_handler(client, settings) -> None:
    settings.REPORT_HANDLERS = [f"{__name__}.handler"]
    handler.taken.clear()
    client.sendmail("ann@recipient.example", "u+1@example.com", b"Subject: no\r\n\r\n")
    assert handler.taken == [("u+1@example.com", b"Subject: no\r\n\r\n")]


def test_a_port_that_is_taken_is_named(server) -> None:
    with pytest.raises(OSError, match=rf"Cannot listen for reports on 127.0.0.1:{server.port}"):
        ReportServer(port=server.port).start()
