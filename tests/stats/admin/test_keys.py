"""The list of keys and the page of each tell what became of their mail."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apikeys.commands import issue_secret
from apikeys.models import RefusedAccess
from guard.models import Role
from sending.models import SendingProfile, Status
from stats import rollups
from tests.factories.sending import SendingProfileFactory
from tests.stats.stories import answered, handed_off

pytestmark = pytest.mark.django_db

LIST = "/admin/apikeys/apikey/"
MOST_STATEMENTS = 12


@pytest.fixture
def profile() -> SendingProfile:
    """Return what a key sends of which all kinds of things became."""
    profile: SendingProfile = SendingProfileFactory.create(api_key__name="Shop")
    issue_secret(key=profile.api_key, now=timezone.now())
    answered(handed_off(profile, number=3))
    answered(handed_off(profile), Status.BOUNCED, reason="550 5.1.1 <b>No</b> such user")
    answered(handed_off(profile), Status.DEFERRED, reason="451 4.3.0 Later")
    rollups.roll()
    return profile


def text_of(html: str) -> str:
    """Return what a person reads of a page."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


@pytest.fixture
def viewer(client: Client) -> Client:
    person = User.objects.create_user("ann", is_staff=True)
    person.groups.add(Group.objects.get(name=Role.VIEWER))
    client.force_login(person)
    return client


@pytest.mark.parametrize("query", ["", "?days=7", "?days=90", "?days=x", "?q=Shop&days=7"])
def test_list_tells_the_rates_of_each_key(
    admin_client: Client, profile: SendingProfile, query: str
) -> None:
    SendingProfileFactory.create(api_key__name="Idle Shop")
    answer = admin_client.get(LIST + query)
    assert answer.status_code == 200
    shown = answer.content.decode()
    assert f'href="{LIST}{profile.api_key_id}/figures/"' in shown
    span = "7d" if "days=7" in query else "90d" if "days=90" in query else "30d"
    assert f'href="{LIST}{profile.api_key_id}/figures/?span={span}#failures"' in shown
    assert f'href="{LIST}{profile.api_key_id}/change/"' in shown
    assert "4 sent of 5 accepted" in shown
    assert "3 of 4 = 75.000 %" in shown
    assert "1 of 4 = 25.000 %" in shown
    assert "Idle Shop" in shown


def test_list_takes_as_many_statements_for_many_keys_as_for_one(
    viewer: Client, profile: SendingProfile
) -> None:
    for other in SendingProfileFactory.create_batch(6):
        issue_secret(key=other.api_key, now=timezone.now())
    with CaptureQueriesContext(connection) as asked:
        assert viewer.get(LIST).status_code == 200
    assert len(asked) <= MOST_STATEMENTS, [one["sql"][:90] for one in asked]


def test_page_tells_the_figures_failures_messages_and_how_to_send(
    viewer: Client, profile: SendingProfile
) -> None:
    key = profile.api_key
    RefusedAccess.objects.create(
        bucket_at=timezone.now() - timedelta(hours=1),
        key=key,
        address="198.51.100.23",
        reason="network",
        count=40,
    )
    with CaptureQueriesContext(connection) as asked:
        answer = viewer.get(f"{LIST}{key.pk}/figures/")
    assert len(asked) <= MOST_STATEMENTS, [one["sql"][:90] for one in asked]
    cards = {card.name: card.value for card in answer.context["cards"]}
    assert (cards["sent"], cards["delivery"]) == ("4", "75.0 %")
    shown = text_of(answer.content.decode())
    assert "bounced 550 5.1.1 <b>No</b> such user" in shown
    assert "Only delayed, and tried again 1 deferred 451 4.3.0 Later" in shown
    assert "network 198.51.100.23" in shown
    assert f"X-API-Key: {key.secrets.get().prefix}…" in shown
    leading = re.findall(r'"/admin/sending/message/[0-9a-f-]{36}/change/"', answer.content.decode())
    assert len(leading) == 5


def test_page_of_a_key_without_a_way_out_takes_as_few_statements(
    viewer: Client, profile: SendingProfile
) -> None:
    SendingProfile.objects.update(route=None)
    with CaptureQueriesContext(connection) as asked:
        answer = viewer.get(f"{LIST}{profile.api_key_id}/figures/")
    assert "No route: add a default route" in answer.content.decode()
    assert len(asked) <= MOST_STATEMENTS, [one["sql"][:90] for one in asked]


def test_page_is_of_one_key_alone(admin_client: Client, profile: SendingProfile) -> None:
    other = SendingProfileFactory.create()
    shown = admin_client.get(f"{LIST}{other.api_key_id}/figures/?span=24h")
    assert shown.context["cards"][0].value == "0"
    assert "No such user" not in shown.content.decode()
    assert "None yet. The line below sends one." in shown.content.decode()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"paused_reason": "31 of 540 bounced."}, "The key is paused. 31 of 540 bounced."),
        ({"is_active": False}, "The key is disabled."),
        ({"expires_at": timezone.now() - timedelta(days=1)}, "The key is expired."),
    ],
)
def test_page_says_when_the_key_does_not_work(
    admin_client: Client, profile: SendingProfile, fields: dict[str, Any], said: str
) -> None:
    key = profile.api_key
    for name, value in fields.items():
        setattr(key, name, value)
    key.save()
    assert said in text_of(admin_client.get(f"{LIST}{key.pk}/figures/").content.decode())


def test_page_of_no_key_is_not_found(admin_client: Client) -> None:
    answer = admin_client.get(f"{LIST}018f0000-0000-7000-8000-000000000000/figures/")
    assert answer.status_code == 404


def test_form_of_a_key_leads_to_its_figures(admin_client: Client, profile: SendingProfile) -> None:
    shown = admin_client.get(f"{LIST}{profile.api_key_id}/change/").content.decode()
    assert f"{LIST}{profile.api_key_id}/figures/" in shown
