"""What an operator does with limits in the browser."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from sending import pacing
from sending.models import Limit, Message, SlowDown, Status, WarmUp
from sending.pacing import Want
from tests.factories.sending import MessageFactory, RouteFactory

pytestmark = pytest.mark.django_db

LIMITS = "/admin/sending/limit/"
PLANS = "/admin/sending/warmup/"
SLOW_DOWNS = "/admin/sending/slowdown/"


def limit_form(**fields: Any) -> dict[str, Any]:
    empty = {"burst": "", "provider": "", "sender_domain": "", "api_key": "", "route": ""}
    return {"messages": 5, "period": 1, "is_active": "on", **empty, **fields}


def plan_form(**fields: Any) -> dict[str, Any]:
    return {
        "sender_domain": "example.com",
        "provider": "gmail",
        "start_date": "2026-11-24",
        "days": "50, 100\n200",
        "is_active": "on",
        **fields,
    }


def errors_of(response: Any) -> dict[str, list[str]]:
    return response.context["adminform"].form.errors


def limited_message() -> Message:
    return MessageFactory.create(
        status=Status.DEFERRED,
        is_limited=True,
        next_attempt_at=timezone.now() + timedelta(hours=1),
        reason="delayed until 14:03:20 UTC, because at most 5 messages a second may go to gmail",
    )


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("Gmail", "gmail"),
        ("googlemail.com", "gmail"),
        ("company.example", "company.example"),
        ("Bücher.example", "xn--bcher-kva.example"),
        ("*", "*"),
    ],
)
def test_provider_is_stored_as_mail_is_counted_by_it(
    admin_client: Client, given: str, stored: str
) -> None:
    response = admin_client.post(f"{LIMITS}add/", limit_form(provider=given))
    assert response.status_code == 302
    assert Limit.objects.get().provider == stored


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"provider": "gmial"}, "provider"),
        ({"sender_domain": "not a domain"}, "sender_domain"),
        ({"messages": 0}, "messages"),
        ({"period": 86400, "burst": 3}, "burst"),
    ],
)
def test_limit_that_means_nothing_is_explained_at_the_field(
    admin_client: Client, fields: dict[str, Any], field: str
) -> None:
    assert list(errors_of(admin_client.post(f"{LIMITS}add/", limit_form(**fields)))) == [field]
    assert not Limit.objects.exists()


def test_days_of_a_warm_up_are_written_and_edited_as_text(admin_client: Client) -> None:
    admin_client.post(f"{PLANS}add/", plan_form())
    plan = WarmUp.objects.get()
    assert plan.days == [50, 100, 200]
    page = f"{PLANS}{plan.pk}/change/"
    assert "50, 100, 200" in admin_client.get(page).content.decode()
    admin_client.post(page, plan_form(days="10 20"))
    plan.refresh_from_db()
    assert plan.days == [10, 20]


@pytest.mark.parametrize("days", ["", "50, many", "50, 0", "-5", "1.5"])
def test_days_that_are_no_numbers_are_explained(admin_client: Client, days: str) -> None:
    response = admin_client.post(f"{PLANS}add/", plan_form(days=days))
    assert list(errors_of(response)) == ["days"]
    assert not WarmUp.objects.exists()


def test_page_of_the_limits_shows_what_holds_what_is_used_and_what_slowed_down(
    admin_client: Client,
) -> None:
    limited_message()
    now = timezone.now()
    for fields in ({"period": 86400}, {"provider": "*"}, {"route": RouteFactory.create(name="R")}):
        Limit.objects.create(messages=5, **fields)
    today = now.astimezone(UTC).date()
    WarmUp.objects.create(sender_domain="new.example", start_date=today, days=[50, 60])
    SlowDown.objects.create(
        provider="yahoo", per_second=2, full_per_second=8, changed_at=now, reply="421 Too fast"
    )
    message = Message.objects.get()
    want = Want(message.api_key_id, 0, "new.example", "gmail.com")
    pacing.admit([want] * 2, now=now)
    text = admin_client.get(LIMITS).content.decode()
    for expected in (
        "1 message waits",
        "5 a day",
        "1 of 5 today",
        "5 a second to each provider",
        "each by itself",
        "5 a second by the route R",
        "new.example at each provider",
        "day 1 of 2",
        "1 today, 1 of 50 at the busiest",
        "421 Too fast",
    ):
        assert expected in text, expected


def test_list_costs_the_same_for_one_limit_and_for_many(
    admin_client: Client, django_assert_max_num_queries
) -> None:
    for number in range(30):
        Limit.objects.create(messages=5, provider=f"p{number}.example")
    with django_assert_max_num_queries(10):
        admin_client.get(LIMITS)


def test_changed_limit_lets_what_waits_ask_again(admin_client: Client) -> None:
    message = limited_message()
    other = MessageFactory.create(
        status=Status.DEFERRED, next_attempt_at=timezone.now() + timedelta(hours=1)
    )
    admin_client.post(f"{LIMITS}add/", limit_form())
    message.refresh_from_db()
    assert message.next_attempt_at <= timezone.now()
    before = other.next_attempt_at
    other.refresh_from_db()
    assert other.next_attempt_at == before


def test_deleted_limit_lets_what_waits_ask_again(admin_client: Client) -> None:
    row = Limit.objects.create(messages=5)
    message = limited_message()
    admin_client.post(f"{LIMITS}{row.pk}/delete/", {"post": "yes"})
    message.refresh_from_db()
    assert not Limit.objects.exists()
    assert message.next_attempt_at <= timezone.now()


def test_message_s_page_says_until_when_it_waits_and_why(admin_client: Client) -> None:
    message = limited_message()
    text = admin_client.get(f"/admin/sending/message/{message.pk}/change/").content.decode()
    assert "delayed until 14:03:20 UTC, because at most 5 messages a second may go to gmail" in text
    assert "Next attempt" in text


def test_slow_down_is_ended_after_a_question(admin_client: Client) -> None:
    row = SlowDown.objects.create(
        provider="yahoo", per_second=2, full_per_second=8, changed_at=timezone.now()
    )
    message = limited_message()
    page = f"{SLOW_DOWNS}{row.pk}/end/"
    assert admin_client.get(f"{SLOW_DOWNS}{row.pk}/change/").status_code == 200
    assert "full rate again" in admin_client.get(page).content.decode()
    assert SlowDown.objects.exists()
    admin_client.post(page)
    assert not SlowDown.objects.exists()
    message.refresh_from_db()
    assert message.next_attempt_at <= timezone.now()


def test_who_may_only_look_ends_and_changes_nothing() -> None:
    row = SlowDown.objects.create(
        provider="yahoo", per_second=2, full_per_second=8, changed_at=datetime.now(UTC)
    )
    person = User.objects.create_user("viewer", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(person)
    assert client.get(LIMITS).status_code == 200
    assert client.post(f"{LIMITS}add/", limit_form()).status_code == 403
    assert client.post(f"{SLOW_DOWNS}{row.pk}/end/").status_code == 403
    assert SlowDown.objects.exists()
