"""Walk (c): the link in a mail, one click, and no further mail."""

from __future__ import annotations

import re
import smtplib

import pytest
from django.conf import LazySettings
from django.test import Client

from apikeys.models import ApiKey
from sending.commands import accept_message
from sending.delivery import deliver_due
from sending.errors import SuppressedRecipient
from sending.models import Event, Message, Route, Status, Suppression
from tests.factories.sending import SendingProfileFactory
from tests.sink import Sink
from tracking.intake import ReportServer
from unsubscribe.models import Unsubscribe

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

ANN = "ann@recipient.example"


@pytest.fixture
def key(route: Route) -> ApiKey:
    return SendingProfileFactory.create(route=None, has_unsubscribe_link=True).api_key


@pytest.fixture
def link(key: ApiKey, sink: Sink) -> str:
    """The path of the link in a mail that has arrived."""
    accept_message(key=key, recipient=ANN)
    deliver_due()
    header = sink.messages[0]["List-Unsubscribe"]
    return re.fullmatch(r"<http://testserver(/u/\S+)>", header)[1]


def test_one_click_ends_all_mail_even_what_is_queued_already(
    key: ApiKey, sink: Sink, link: str
) -> None:
    accept_message(key=key, recipient=ANN)
    answer = Client(enforce_csrf_checks=True).post(link, {"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200
    assert not answer.cookies

    deliver_due()
    assert sink.recipients == [ANN]
    assert Message.objects.filter(status=Status.SUPPRESSED).count() == 1
    with pytest.raises(SuppressedRecipient, match="unsubscribed"):
        accept_message(key=key, recipient="ANN@recipient.example")
    assert Suppression.objects.get().reason == Suppression.Reason.UNSUBSCRIBED
    assert Unsubscribe.objects.get().method == Unsubscribe.Method.ONE_CLICK
    assert Event.objects.filter(kind="unsubscribed").count() == 1


def test_one_click_works_urlencoded_as_mail_programs_send_it(link: str) -> None:
    answer = Client(enforce_csrf_checks=True).post(
        link, "List-Unsubscribe=One-Click", "application/x-www-form-urlencoded"
    )
    assert answer.status_code == 200
    assert Unsubscribe.objects.get().method == Unsubscribe.Method.ONE_CLICK


def test_looking_at_the_page_changes_nothing(link: str) -> None:
    client = Client(headers={"User-Agent": "Barracuda Sentinel", "Purpose": "prefetch"})
    for _ in range(20):
        page = client.get(link)
        client.head(link)
        client.options(link)
    assert page.status_code == 200
    assert "a***@recipient.example" in page.text
    assert ANN not in page.text
    assert not Suppression.objects.exists()


def test_the_button_unsubscribes_and_a_second_press_changes_nothing(link: str) -> None:
    first, second = (Client(enforce_csrf_checks=True).post(link) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 200)
    assert "You are unsubscribed" in first.text
    assert Unsubscribe.objects.get().method == Unsubscribe.Method.PAGE
    assert Event.objects.filter(kind="unsubscribed").count() == 1


def test_a_forged_token_reveals_and_changes_nothing(link: str) -> None:
    forged = link[:-1] + ("A" if link[-1] != "A" else "B")
    for answer in (Client().get(forged), Client().post(forged), Client().get("/u/x")):
        assert answer.status_code == 404
        assert "recipient.example" not in answer.text
    assert not Suppression.objects.exists()


def test_the_page_may_load_nothing_and_is_not_kept(link: str) -> None:
    page = Client().get(link)
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "no-store" in page.headers["Cache-Control"]
    assert page.headers["Referrer-Policy"] == "no-referrer"


def test_a_mail_to_the_address_in_the_header_is_a_no_too(
    key: ApiKey, sink: Sink, settings: LazySettings
) -> None:
    settings.UNSUBSCRIBE_MAILTO_DOMAIN = "reports.example.com"
    accept_message(key=key, recipient=ANN)
    deliver_due()
    header = sink.messages[0]["List-Unsubscribe"]
    address = re.search(r"<mailto:([^>?]+)", header)[1]
    server = ReportServer()
    server.start()
    try:
        with smtplib.SMTP("127.0.0.1", server.port, timeout=60) as client:
            client.sendmail("bob@other.example", address, b"Subject: unsubscribe\r\n\r\n")
    finally:
        server.stop()
    assert Unsubscribe.objects.get().message.recipient == ANN
    with pytest.raises(SuppressedRecipient, match="unsubscribed"):
        accept_message(key=key, recipient=ANN)
