"""The page behind the link: whose mail it is, one button, a way back, in the reader's language."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import Client, RequestFactory
from django.utils import timezone

from sending.models import Event, LiftedSuppression, Message, Status, Suppression
from sending.suppressions import suppress
from tests.factories.sending import MessageFactory, SenderDomainFactory
from unsubscribe import tokens, views
from unsubscribe.models import PageWording, Unsubscribe

pytestmark = pytest.mark.django_db

ANN = "ann@recipient.example"
PIXEL = "data:image/png;base64,iVBORw0KGgo="
SCANNERS = (
    {"HTTP_USER_AGENT": "Barracuda Sentinel (EE)"},
    {"HTTP_USER_AGENT": "Mozilla/5.0 (compatible; proofpoint)"},
    {"HTTP_USER_AGENT": "BingPreview/1.0b", "HTTP_PURPOSE": "prefetch"},
    {"HTTP_SEC_PURPOSE": "prefetch;prerender", "HTTP_USER_AGENT": "Mozilla/5.0"},
    {"HTTP_USER_AGENT": "python-requests/2.32"},
)


@pytest.fixture
def message() -> Message:
    return MessageFactory.create(recipient=ANN, status=Status.SENT, has_unsubscribe_link=True)


@pytest.fixture
def link(message: Message) -> str:
    return f"/u/{tokens.make(message.id)}"


def rows() -> tuple[int, ...]:
    return tuple(model.objects.count() for model in (Suppression, Unsubscribe, Event))


def test_ten_thousand_requests_of_scanners_change_nothing(message: Message) -> None:
    token, before = tokens.make(message.id), rows()
    factory = RequestFactory()
    for number in range(10_000):
        ask = factory.head if number % 11 else factory.get
        answer = views.unsubscribe(ask("/u/x", **SCANNERS[number % 5]), token=token)
        assert answer.status_code == 200
    assert rows() == before


def test_the_page_shows_whose_mail_it_is_and_one_button(link: str) -> None:
    page = Client().get(link).text
    assert "The Shop" in page
    assert "a***@recipient.example" in page
    assert ANN not in page
    assert page.count("<button") == 1
    assert "<script" not in page


def test_a_body_that_cannot_be_read_is_a_no_all_the_same(link: str) -> None:
    answer = Client(enforce_csrf_checks=True).post(
        link, b"--broken", content_type="multipart/form-data"
    )
    assert answer.status_code == 200
    assert Suppression.objects.get().address == ANN


def test_one_click_in_another_charset_is_a_no_all_the_same(link: str) -> None:
    answer = Client(enforce_csrf_checks=True).post(
        link,
        b"List-Unsubscribe=One-Click",
        content_type="application/x-www-form-urlencoded; charset=gb2312",
    )
    assert answer.status_code == 200
    assert Suppression.objects.get().address == ANN


def test_a_no_can_be_taken_back_on_the_page_and_said_again(link: str) -> None:
    client = Client(enforce_csrf_checks=True)
    assert "Get the mail again" in client.post(link).text
    assert "You get the mail again" in client.post(link, {"act": "resubscribe"}).text
    assert not Suppression.objects.exists()
    assert LiftedSuppression.objects.get().lifted_by == "the recipient"
    client.post(link)
    assert Suppression.objects.get().reason == Suppression.Reason.UNSUBSCRIBED
    kinds = list(Event.objects.order_by("id").values_list("kind", flat=True))
    assert kinds == ["unsubscribed", "subscribed", "unsubscribed"]


def test_an_old_link_cannot_take_back_a_no_of_another_mail(link: str) -> None:
    other = MessageFactory.create(recipient=ANN, status=Status.SENT)
    Client().post(f"/u/{tokens.make(other.id)}")
    page = Client().post(link, {"act": "resubscribe"}).text
    assert "You are unsubscribed" in page
    assert "Get the mail again" not in page
    assert Suppression.objects.get().source_message == other


def test_a_no_said_by_two_mails_is_not_taken_back_by_one(link: str) -> None:
    other = MessageFactory.create(recipient=ANN, status=Status.SENT)
    Client().post(link)
    assert "Get the mail again" not in Client().post(f"/u/{tokens.make(other.id)}").text
    for path in (link, f"/u/{tokens.make(other.id)}"):
        assert "You are unsubscribed" in Client().post(path, {"act": "resubscribe"}).text
    assert Suppression.objects.get().source_message_id is not None


def test_a_no_that_the_operator_has_noted_too_is_not_taken_back_by_the_link(link: str) -> None:
    Client().post(link)
    suppress(ANN, reason=Suppression.Reason.UNSUBSCRIBED, now=timezone.now(), by="An operator")
    assert "You are unsubscribed" in Client().post(link, {"act": "resubscribe"}).text
    assert Suppression.objects.exists()


def test_what_was_taken_back_already_is_told_so(link: str) -> None:
    Client().post(link)
    for _ in range(2):
        assert "You get the mail again" in Client().post(link, {"act": "resubscribe"}).text


def test_to_and_fro_ends_with_the_no(link: str) -> None:
    for _ in range(20):
        Client().post(link)
        Client().post(link, {"act": "resubscribe"})
    assert Suppression.objects.get().reason == Suppression.Reason.UNSUBSCRIBED
    assert Event.objects.count() < 20
    assert "Get the mail again" not in Client().get(link).text


def test_a_reason_without_a_no_is_asked_first(link: str) -> None:
    assert "Stop mail to" in Client().post(link, {"act": "why", "why": "too-many"}).text
    assert not Suppression.objects.exists()


def test_a_no_cannot_be_taken_back_after_a_day(link: str, message: Message) -> None:
    Client().post(link)
    long_ago = timezone.now() - timedelta(hours=25)
    Suppression.objects.update(created_at=long_ago)
    Client().post(link, {"act": "resubscribe"})
    assert Suppression.objects.exists()


def test_a_reason_may_be_told_and_nothing_else_is_stored(link: str) -> None:
    client = Client()
    client.post(link, {"act": "why", "why": "too-many"})
    client.post(link)
    assert "Thank you" in client.post(link, {"act": "why", "why": "too-many"}).text
    client.post(link, {"act": "why", "why": "<b>"})
    assert Unsubscribe.objects.get().why == "too-many"


def test_whoever_comes_back_sees_that_it_is_done(link: str) -> None:
    Client().post(link)
    assert "You are unsubscribed" in Client().get(link).text


def test_a_bounced_address_can_still_say_no(link: str) -> None:
    suppress(ANN, reason=Suppression.Reason.HARD_BOUNCE, now=timezone.now())
    assert "Stop mail" in Client().get(link).text
    Client().post(link)
    assert Suppression.objects.filter(reason=Suppression.Reason.UNSUBSCRIBED).exists()
    assert "You are unsubscribed" in Client().get(link).text


@pytest.mark.parametrize(
    ("accepted", "shown", "language"),
    [
        ("zh-CN,zh;q=0.9", "退订", "zh-hans"),
        ("zh-TW", "退订", "zh-hans"),
        ("de-DE,en;q=0.5", "Stop mail to", "en"),
        ("", "Stop mail to", "en"),
        ("x" * 3000, "Stop mail to", "en"),
    ],
)
def test_the_page_speaks_the_language_of_the_browser(
    link: str, accepted: str, shown: str, language: str
) -> None:
    answer = Client(headers={"Accept-Language": accepted}).get(link)
    assert shown in answer.text
    assert f'<html lang="{language}">' in answer.text
    assert answer.headers["Content-Language"] == language


def test_every_sentence_of_every_page_is_translated(link: str) -> None:
    client = Client(headers={"Accept-Language": "zh-CN"})
    pages = [
        client.get(link),
        client.post(link),
        client.post(link, {"act": "why", "why": "other"}),
        client.post(link, {"act": "resubscribe"}),
        client.get("/u/x"),
    ]
    for page in pages:
        words = re.sub(
            r"<[^>]+>|a\*\*\*@recipient.example|The Shop", "", page.text.partition("<body>")[2]
        )
        assert not re.search("[A-Za-z]", words)


def test_words_of_a_domain_stand_in_place_of_ours(link: str) -> None:
    domain = SenderDomainFactory.create(domain="sender.example")
    PageWording.objects.create(
        sender_domain=domain, sender_name="Shop <b>&</b> Co", question="Leave us?", logo=PIXEL
    )
    PageWording.objects.create(sender_domain=domain, language="zh-hans", question="要离开吗？")
    page = Client().get(link).text
    assert "Leave us?" in page
    assert "Shop &lt;b&gt;&amp;&lt;/b&gt; Co" in page
    assert f'src="{PIXEL}"' in page
    chinese = Client(headers={"Accept-Language": "zh"}).get(link).text
    assert "要离开吗？" in chinese
    assert PIXEL in chinese


def test_forged_and_foreign_tokens_get_the_same_answer(link: str) -> None:
    unknown = f"/u/{tokens.make(MessageFactory.build().id)}"
    forged = link[:-1] + ("A" if link[-1] != "A" else "B")
    answers = [Client().get(path) for path in (unknown, forged, "/u/x")]
    answers += [Client().post(path) for path in (unknown, forged, "/u/x")]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1


def test_no_other_page_looks_for_the_language() -> None:
    assert not any("Locale" in name for name in settings.MIDDLEWARE)


def test_the_page_costs_few_queries(link: str, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(3):
        Client().get(link)
