"""A stolen password alone opens nothing where a second factor was set up or is required."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pyotp
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from guard import second_factor, views
from guard.models import RecoveryCode, SecondFactor

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery staple"
ASK, SET_UP, CHANGE = (f"/admin/second-factor/{page}" for page in ("", "set-up/", "change/"))
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def ann() -> User:
    return User.objects.create_superuser("ann", password=PASSWORD)


@pytest.fixture(autouse=True)
def tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "TRIES_PER_MINUTE", 1000)


def signed_in(name: str = "ann") -> Client:
    client = Client()
    answer = client.post("/admin/login/", {"username": name, "password": PASSWORD})
    assert answer.status_code == 302
    return client


def shown(user: User, at: datetime | None = None) -> str:
    """Return what the app shows at a time."""
    factor = SecondFactor.objects.get(user=user)
    return pyotp.TOTP(factor.secret).at(at or timezone.now())


def with_factor(user: User) -> list[str]:
    """Give the person a second factor; return the recovery codes."""
    factor = second_factor.begin(user, now=NOW)
    codes = second_factor.confirm(factor, shown(user, NOW), now=NOW)
    assert codes is not None
    return codes


def test_a_person_sets_it_up_with_an_app_and_gets_recovery_codes(ann: User) -> None:
    client = signed_in()
    page = client.get(SET_UP)
    secret = re.search("<code[^>]*>([A-Z2-7]{32})</code>", page.text)[1]
    assert "<svg" in page.text
    assert "is not the password" in client.post(SET_UP, {"password": "000000"}).text
    page = client.post(SET_UP, {"password": pyotp.TOTP(secret).now()})
    codes = re.findall("<li>([a-z2-7-]{19})</li>", page.text)
    assert len(codes) == second_factor.CODES
    assert client.get("/admin/").status_code == 200
    assert LogEntry.objects.get().change_message == "Set up a second factor."
    assert secret not in page.text


def test_the_password_alone_opens_no_page_any_more(ann: User) -> None:
    with_factor(ann)
    client = signed_in()
    for path in ("/admin/", "/admin/sending/message/", "/admin/password_change/", SET_UP, CHANGE):
        answer = client.get(path)
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith(f"{ASK}?next=")
    assert client.post("/admin/auth/user/add/", {"username": "eve"}).status_code == 302
    assert User.objects.count() == 1


def test_the_one_time_password_opens_the_page_that_was_wanted(ann: User) -> None:
    with_factor(ann)
    client = signed_in()
    before = client.cookies["sessionid"].value
    wanted = "/admin/sending/message/?status__exact=sent"
    asked = client.get(wanted).headers["Location"]
    assert "is not right" in client.post(asked, {"password": "000000"}).text
    answer = client.post(asked, {"password": shown(ann)})
    assert answer.headers["Location"] == wanted
    assert client.get(wanted).status_code == 200
    assert client.cookies["sessionid"].value != before


def test_nobody_is_led_to_another_site(ann: User) -> None:
    with_factor(ann)
    answer = signed_in().post(f"{ASK}?next=https://evil.example/", {"password": shown(ann)})
    assert answer.headers["Location"] == "/admin/"


def test_a_one_time_password_is_taken_once_and_only_about_its_time(ann: User) -> None:
    with_factor(ann)
    factor = SecondFactor.objects.get()
    later = NOW + timedelta(minutes=5)
    password = shown(ann, later)
    for far in (timedelta(minutes=-2), timedelta(minutes=2)):
        assert not second_factor.check(factor, password, now=later + far)
    assert second_factor.check(factor, f" {password[:3]} {password[3:]}", now=later)
    assert not second_factor.check(factor, password, now=later)
    slow = later + timedelta(minutes=1)
    assert second_factor.check(factor, shown(ann, slow - timedelta(seconds=30)), now=slow)


def test_a_recovery_code_lets_in_once(ann: User) -> None:
    code = with_factor(ann)[3]
    assert signed_in().post(ASK, {"password": code.upper()}).status_code == 302
    assert "is not right" in signed_in().post(ASK, {"password": code}).text
    assert second_factor.codes_left(SecondFactor.objects.get()) == second_factor.CODES - 1


def test_neither_the_secret_nor_a_code_stands_in_the_database(ann: User) -> None:
    codes = with_factor(ann)
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM guard_secondfactor")
        assert SecondFactor.objects.get().secret not in cursor.fetchone()[0]
    assert not RecoveryCode.objects.filter(code_hash__in=codes).exists()


def test_tries_are_few_for_there_are_only_a_million_passwords(
    ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "TRIES_PER_MINUTE", 3)
    with_factor(ann)
    client = signed_in()
    for _ in range(3):
        client.post(ASK, {"password": "000000"})
    assert "Too many tries" in signed_in().post(ASK, {"password": shown(ann)}).text


def test_new_codes_end_the_ones_before(ann: User) -> None:
    old = with_factor(ann)
    client = signed_in()
    client.post(ASK, {"password": old[0]})
    assert "is not right" in client.post(CHANGE, {"password": "000000", "renew": ""}).text
    page = client.post(CHANGE, {"password": shown(ann), "renew": ""})
    new = re.findall("<li>([a-z2-7-]{19})</li>", page.text)
    factor = SecondFactor.objects.get()
    assert not second_factor.check(factor, old[1], now=timezone.now())
    assert second_factor.check(factor, new[1], now=timezone.now())


def test_a_person_takes_it_away_with_a_password_of_it(ann: User) -> None:
    code = with_factor(ann)[0]
    client = signed_in()
    client.post(ASK, {"password": shown(ann)})
    assert client.post(CHANGE, {"password": code, "remove": ""}).status_code == 302
    assert signed_in().get("/admin/").status_code == 200


def test_where_it_is_required_everybody_sets_one_up_first(ann: User, settings: Any) -> None:
    settings.REQUIRE_SECOND_FACTOR = True
    client = signed_in()
    answer = client.get("/admin/")
    assert answer.headers["Location"].startswith(SET_UP)
    assert "Everybody needs" in client.get(SET_UP).text
    client.post(SET_UP, {"password": shown(ann)})
    assert client.get("/admin/").status_code == 200
    page = client.get(CHANGE).text
    assert "Take the second factor away" not in page
    codes_before = second_factor.codes_left(SecondFactor.objects.get())
    client.post(CHANGE, {"password": "000000", "remove": ""})
    assert second_factor.codes_left(SecondFactor.objects.get()) == codes_before


def test_who_is_half_in_can_leave(ann: User) -> None:
    with_factor(ann)
    client = signed_in()
    assert client.post("/admin/logout/").status_code == 200
    assert "username" in client.get("/admin/login/").text


def test_an_owner_lets_somebody_in_who_has_lost_everything(ann: User) -> None:
    bob = User.objects.create_superuser("bob", password=PASSWORD)
    with_factor(bob)
    given = {"action": "take_second_factor", "_selected_action": [bob.pk, ann.pk]}
    page = signed_in().post("/admin/auth/user/", given, follow=True).text
    assert "bob is asked for the password alone" in page
    assert "ann has no second factor" in page
    assert signed_in("bob").get("/admin/").status_code == 200
    assert LogEntry.objects.get().object_repr == "bob"


def test_so_does_the_command_line(ann: User) -> None:
    with_factor(ann)
    call_command("reset_second_factor", "ann")
    assert signed_in().get("/admin/").status_code == 200
    for name, why in (("ann", "no second factor"), ("eve", "Nobody is called")):
        with pytest.raises(CommandError, match=why):
            call_command("reset_second_factor", name)


def test_programs_and_recipients_are_asked_for_nothing(ann: User, settings: Any) -> None:
    settings.REQUIRE_SECOND_FACTOR = True
    client = signed_in()
    assert client.get("/healthz").status_code == 200
    assert client.get("/u/x").status_code == 404
    assert client.get("/api/v1/stats").status_code == 401
