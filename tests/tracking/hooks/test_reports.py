"""A raw report is taken over HTTP from whoever knows the secret."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client

from sending.models import Message, Status, Suppression
from tests.tracking.conftest import path_of
from tests.tracking.mails import dsn
from tracking.report_checks import check_report_intake
from unsubscribe.tokens import make_both

pytestmark = pytest.mark.django_db

SECRETS = ["new-" + "n" * 40, "old-" + "o" * 40]
URL = "/hooks/reports"


@pytest.fixture(autouse=True)
def intake(settings):
    settings.REPORT_INTAKE = True
    settings.REPORT_INTAKE_SECRETS = SECRETS


def post(content: bytes, *, secret: str = SECRETS[0], query: str = "", kind="message/rfc822"):
    return Client(raise_request_exception=False).post(
        URL + query, content, content_type=kind, headers={"Authorization": f"Bearer {secret}"}
    )


def status_of(message: Message) -> str:
    return Message.objects.get(pk=message.pk).status


@pytest.mark.parametrize("secret", SECRETS)
def test_a_report_is_written_down_under_each_of_the_secrets(sent, secret) -> None:
    message = sent()
    answer = post(dsn(message), secret=secret)
    assert (answer.status_code, answer.json()) == (200, {"understood": ["bounced"]})
    assert status_of(message) == Status.BOUNCED


def test_the_envelope_recipient_may_be_told_beside_it(sent) -> None:
    message = sent()
    path = path_of(message).replace("+", "%2B")
    post(dsn(message, has_message_id=False), query=f"?recipient={path}")
    assert status_of(message) == Status.BOUNCED


def test_a_mail_to_the_unsubscribe_address_is_a_no(sent, settings) -> None:
    settings.UNSUBSCRIBE_MAILTO_DOMAIN = "reports.example"
    message = sent()
    local_part = make_both(message.id)[1].replace("+", "%2B")
    answer = post(b"Subject: x\n\n", query=f"?recipient={local_part}@reports.example")
    assert answer.json() == {"understood": ["unsubscribed"]}
    assert Suppression.objects.get().address == message.recipient


def test_what_is_about_no_message_of_ours_is_taken_too() -> None:
    answer = post(b"Subject: hello\n\n")
    assert (answer.status_code, answer.json()) == (200, {"understood": []})


@pytest.mark.parametrize("secret", ["", "x", SECRETS[0][:-1], "ß"])
def test_a_wrong_secret_is_refused(sent, secret) -> None:
    message = sent()
    answer = post(dsn(message), secret=secret)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert status_of(message) == Status.SENT


@pytest.mark.parametrize(("enabled", "secrets"), [(False, SECRETS), (True, []), (True, [""])])
def test_without_the_setting_or_a_secret_nobody_is_let_in(sent, settings, enabled, secrets) -> None:
    settings.REPORT_INTAKE, settings.REPORT_INTAKE_SECRETS = enabled, secrets
    assert post(dsn(sent()), secret=(secrets or SECRETS)[0]).status_code == 404


def test_another_kind_of_body_is_refused(sent) -> None:
    assert post(dsn(sent()), kind="application/json").status_code == 415


def test_only_a_post_is_taken() -> None:
    assert Client().get(URL).status_code == 405


@pytest.mark.django_db(transaction=True)
def test_while_the_database_is_away_the_report_has_to_come_again(sent) -> None:
    message = sent()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sending_message RENAME TO sending_message_away")
    try:
        answer = post(dsn(message))
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE sending_message_away RENAME TO sending_message")
    assert answer.status_code == 503
    assert answer["Retry-After"]
    assert post(dsn(message)).status_code == 200
    assert status_of(message) == Status.BOUNCED


@pytest.mark.parametrize("secrets", [[], ["short"], [SECRETS[0], "short"]])
def test_the_check_finds_an_intake_without_good_secrets(settings, secrets) -> None:
    settings.REPORT_INTAKE_SECRETS = secrets
    assert [error.id for error in check_report_intake()] == ["tracking.E103"]


def test_the_check_has_nothing_to_say_otherwise(settings) -> None:
    assert check_report_intake() == []
    settings.REPORT_INTAKE, settings.REPORT_INTAKE_SECRETS = False, []
    assert check_report_intake() == []
