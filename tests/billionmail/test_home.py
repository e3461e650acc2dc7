"""The first page tells whether mail flows, what needs a hand, and what to do when there is none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apikeys.models import ApiKey
from guard.models import Alert, Role
from sending import outages
from sending.models import FallbackRoute, Status
from stats import rollups
from stats.models import Day, Hour
from tests.factories.sending import (
    MessageFactory,
    RouteFactory,
    SenderDomainFactory,
    SendingProfileFactory,
)
from tests.stats.stories import accepted, answered, handed_off

pytestmark = pytest.mark.django_db

# With those that say who the person is and what they may, five; and with the one that is asked
# while there is no default route.
MOST_STATEMENTS = 13


def test_empty_installation_says_what_to_do_next(admin_client: Client) -> None:
    shown = admin_client.get("/admin/").content.decode()
    assert "To send a first mail" in shown
    assert "Create an" in shown
    assert "No mail was accepted in this time" in shown


@pytest.mark.parametrize("span", ["span=24h", "", "span=30d", "span=90d", "from=2020-01-01"])
def test_cards_and_chart_say_what_became_of_the_mail(admin_client: Client, span: str) -> None:
    profile = SendingProfileFactory.create()
    answered(handed_off(profile, number=3))
    answered(handed_off(profile), Status.BOUNCED, reason="550 5.1.1 <script>alert(1)</script>")
    accepted(profile, number=2)
    rollups.roll()
    answer = admin_client.get(f"/admin/?{span}")
    values = {card.name: (card.value, card.detail) for card in answer.context["cards"]}
    assert values["sent"] == ("4", "6 accepted")
    assert values["delivery"] == ("75.0 %", "3 of 4")
    assert values["bounce"] == ("25.0 %", "1 of 4")
    assert values["open"] == ("0 %", "0 of 3")
    bands = {band.title: band.total for band in answer.context["chart"].bands}
    assert bands == {"Delivered": "3", "Bounced or refused": "1", "Waiting": "2"}
    shown = answer.content.decode()
    assert "To send a first mail" not in shown
    assert "550 5.1.1 &lt;script&gt;" in shown
    assert "3 of 4 = 75.000 %\nwith 95 % confidence 30.06 % to 95.44 %" in shown


def test_change_is_coloured_when_it_is_neither_chance_nor_too_early_to_tell(
    admin_client: Client,
) -> None:
    profile = SendingProfileFactory.create()
    for days, bounced, opened, clicked in ((0, 60, 200, 150), (8, 20, 400, 145)):
        moment = timezone.now() - timedelta(days=days)
        for model, begin in (
            (Hour, moment.replace(minute=0, second=0, microsecond=0)),
            (Day, moment.replace(hour=0, minute=0, second=0, microsecond=0)),
        ):
            model.objects.create(
                dimension="all",
                api_key=profile.api_key,
                began_at=begin,
                taken=1000 - bounced,
                bounced=bounced,
                opened=opened,
                clicked=clicked,
            )
    cards = {card.name: card for card in admin_client.get("/admin/").context["cards"]}
    assert (cards["bounce"].change, cards["bounce"].mood) == ("▲ 4.0 points", "worse")
    assert (cards["delivery"].change, cards["delivery"].mood) == ("▼ 4.0 points", "worse")
    assert (cards["open"].change, cards["open"].mood) == ("▼ 19.5 points", "")
    assert (cards["click"].change, cards["click"].mood) == ("▲ 1.2 points", "")
    assert cards["sent"].change == "= 0 %"


def test_figures_are_those_of_the_chosen_key(admin_client: Client) -> None:
    first, second = SendingProfileFactory.create_batch(2)
    answered(handed_off(first, number=2))
    answered(handed_off(second), Status.REJECTED, reason="550 Not from you")
    rollups.roll()
    answer = admin_client.get(f"/admin/?key={first.api_key_id}")
    assert answer.context["cards"][0].value == "2"
    assert "550 Not from you" not in answer.content.decode()
    assert admin_client.get("/admin/?key=none").context["cards"][0].value == "3"


def test_newest_failures_are_those_of_the_chosen_time_and_key(admin_client: Client) -> None:
    profile = SendingProfileFactory.create()
    answered(handed_off(profile), Status.REJECTED, reason="550 Not today")
    key = profile.api_key_id
    shown = admin_client.get(f"/admin/?span=7d&key={key}").content.decode()
    assert "550 Not today" in shown
    assert f"..{timezone.localdate()}&amp;key={key}" in shown
    query = f"from=2020-01-01&to=2020-01-02&key={key}"
    shown = admin_client.get(f"/admin/?{query}").content.decode()
    assert "550 Not today" not in shown
    assert "None in this time" in shown
    assert f"expired&amp;accepted=2020-01-01..2020-01-02&amp;key={key}" in shown


def test_leaders_lead_to_their_pages(admin_client: Client) -> None:
    profile = SendingProfileFactory.create()
    answered(handed_off(profile))
    rollups.roll()
    shown = admin_client.get("/admin/").content.decode()
    assert f'href="/admin/apikeys/apikey/{profile.api_key_id}/figures/?span=7d"' in shown
    assert f'href="/admin/sending/template/{profile.template_id}/figures/"' in shown


def test_first_page_warns_while_there_is_no_way_out(admin_client: Client) -> None:
    route = RouteFactory.create(is_default=True, is_active=False)
    shown = admin_client.get("/admin/").content.decode()
    assert "No way out:" in shown
    assert 'href="/admin/sending/route/">Add or enable a default route</a>' in shown
    route.is_active = True
    route.save()
    shown = admin_client.get("/admin/").content.decode()
    assert "No way out" not in shown
    assert "Nothing needs a hand" in shown


def test_keys_with_routes_of_their_own_need_no_default(admin_client: Client) -> None:
    way = RouteFactory.create()
    SendingProfileFactory.create(route=way)
    further = SendingProfileFactory.create()
    FallbackRoute.objects.create(api_key=further.api_key, route=way, position=1)
    revoked = SendingProfileFactory.create().api_key
    ApiKey.objects.filter(pk=revoked.pk).update(revoked_at=timezone.now(), is_active=False)
    assert admin_client.get("/admin/").context["attention"] == []
    lost = SendingProfileFactory.create(route=RouteFactory.create(is_active=False))
    items = admin_client.get("/admin/").context["attention"]
    assert [item.title for item in items] == ["No way out:"]
    assert lost.api_key.name in items[0].text


def in_need(profile: Any) -> None:
    """Let everything need a hand that can."""
    now = timezone.now()
    relay = RouteFactory.create(name="Relay")
    outages.pause(relay, reason="535 5.7.8 <b>Bad password</b>", now=now)
    SenderDomainFactory.create(
        domain="wrong.example", findings=[{"purpose": "SPF", "state": "missing"}]
    )
    ApiKey.objects.create(name="Old", expires_at=now + timedelta(days=3, hours=1))
    ApiKey.objects.create(name="Wild", paused_reason="31 of 540 bounced.")
    ApiKey.objects.create(name="Far", expires_at=now + timedelta(days=300))
    MessageFactory.create(status=Status.QUEUED, next_attempt_at=now - timedelta(minutes=7))
    MessageFactory.create(status=Status.UNKNOWN)
    Alert.objects.create(
        kind=Alert.Kind.REFUSALS, subject="Shop", text="212 refused", first_at=now, last_at=now
    )
    Hour.objects.create(
        dimension="all",
        api_key=profile.api_key,
        began_at=now.replace(minute=0, second=0, microsecond=0),
        taken=960,
        bounced=40,
    )


def test_what_needs_a_hand_comes_first_and_leads_there(admin_client: Client) -> None:
    profile = SendingProfileFactory.create()
    in_need(profile)
    items = admin_client.get("/admin/").context["attention"]
    titles = [item.title for item in items]
    for title in (
        "Relay is paused",
        "The DNS of wrong.example is not as it has to be",
        "The key Old expires in 3 days",
        "The key Wild is paused",
        "Mail has been due for 7 min",
        "Of 1 message nobody knows whether they arrived",
        "Many requests are refused: Shop",
        f"The key {profile.api_key} is near a limit",
    ):
        assert title in titles
    assert not any("Far" in title for title in titles)
    urgency = [item.is_urgent for item in items]
    assert urgency == sorted(urgency, reverse=True)
    near = next(item for item in items if "near a limit" in item.title)
    assert "40 of 1,000 messages of the last 24 hours bounced (4.00 %)" in near.text


def told_of_domain(admin_client: Client, **fields: Any) -> list[tuple[str, bool]]:
    """Return what the first page says of a domain alone, and how urgent it is."""
    RouteFactory.create(is_default=True)
    SenderDomainFactory.create(domain="shop.example.com", **fields)
    items = admin_client.get("/admin/").context["attention"]
    return [(item.title, item.is_urgent) for item in items]


def test_domain_that_was_never_checked_is_an_item(admin_client: Client) -> None:
    told = told_of_domain(admin_client)
    assert told == [("The DNS of shop.example.com was never checked", False)]


@pytest.mark.parametrize(("state", "first"), [("found", "Switch on"), ("missing", "Publish")])
def test_domain_whose_mail_is_not_signed_is_an_item(
    admin_client: Client, state: str, first: str
) -> None:
    findings = [{"purpose": "DKIM", "state": state}]
    told = told_of_domain(admin_client, findings=findings, is_dkim_active=False)
    assert told[-1] == ("Mail from shop.example.com is not signed with DKIM", False)
    items = admin_client.get("/admin/").context["attention"]
    assert items[-1].text.startswith(first)


@pytest.mark.parametrize(
    ("purpose", "state", "told"),
    [
        ("DKIM", "found", []),
        ("DKIM", "different", [("The DNS of shop.example.com is not as it has to be", True)]),
        ("SPF", "missing", [("The DNS of shop.example.com is not as it has to be", True)]),
        # A relay's, perhaps.
        ("SPF", "different", [("The DNS of shop.example.com is not as it has to be", False)]),
        ("SPF", "lookup failed", [("The DNS of shop.example.com could not be asked", False)]),
    ],
)
def test_what_the_dns_said_is_as_urgent_as_it_is_certain(
    admin_client: Client, purpose: str, state: str, told: list[tuple[str, bool]]
) -> None:
    findings = [{"purpose": purpose, "state": state}]
    assert told_of_domain(admin_client, findings=findings, is_dkim_active=True) == told


def test_domain_that_nobody_can_own_is_no_item(admin_client: Client) -> None:
    RouteFactory.create(is_default=True)
    SenderDomainFactory.create(domain="shop.example")
    assert admin_client.get("/admin/").context["attention"] == []


def test_many_alerts_are_the_newest_and_where_the_others_are(admin_client: Client) -> None:
    now = timezone.now()
    RouteFactory.create(is_default=True)
    for number in range(12):
        at = now - timedelta(minutes=number)
        Alert.objects.create(
            kind=Alert.Kind.SPIKE, subject=f"Key {number}", text="", first_at=at, last_at=at
        )
    items = admin_client.get("/admin/").context["attention"]
    assert [item.title.rpartition("Key ")[2] for item in items[:-1]] == list(map(str, range(10)))
    assert items[-1].title == "More alerts are open"
    found = admin_client.get(items[-1].address).context["cl"].result_list
    assert len(found) == 12


def test_steps_to_a_first_mail_are_gone_once_a_key_was_used(admin_client: Client) -> None:
    ApiKey.objects.create(name="Shop", last_used_at=timezone.now() - timedelta(days=400))
    assert "To send a first mail" not in admin_client.get("/admin/").content.decode()


def test_fragment_is_the_figures_and_no_frame(admin_client: Client) -> None:
    shown = admin_client.get("/admin/", headers={"X-Fragment": "live"}).content.decode()
    assert "data-live" in shown
    assert "<html" not in shown


def test_page_takes_few_statements_however_much_there_is_to_say(client: Client) -> None:
    viewer = User.objects.create_user("ann", is_staff=True)
    viewer.groups.add(Group.objects.get(name=Role.VIEWER))
    client.force_login(viewer)
    for profile in SendingProfileFactory.create_batch(4):
        answered(handed_off(profile), Status.BOUNCED, reason="550 5.1.1 No such user")
    in_need(profile)
    rollups.roll()
    for span in ("24h", "90d"):
        with CaptureQueriesContext(connection) as asked:
            assert client.get(f"/admin/?span={span}").status_code == 200
        assert len(asked) <= MOST_STATEMENTS, [one["sql"][:90] for one in asked]


@pytest.mark.parametrize("page", ["auth/user/", "auth/user/add/", "auth/group/"])
def test_people_have_the_look_of_the_other_pages(admin_client: Client, page: str) -> None:
    shown = admin_client.get(f"/admin/{page}")
    assert shown.status_code == 200
    assert "unfold" in shown.content.decode()


def test_the_name_of_an_object_stands_as_it_is_written(admin_client: Client) -> None:
    message = MessageFactory.create(recipient="ann@recipient.example")
    shown = admin_client.get(f"/admin/sending/message/{message.pk}/change/").content.decode()
    head = shown[shown.index("<h1") : shown.index("</h1>")]
    assert "ann@recipient.example" in head
    assert "Messages" in head
