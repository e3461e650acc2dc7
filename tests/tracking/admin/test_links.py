"""What an operator sees of links: how often each was clicked, by how many, by whom and when."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sending.models import Message, Status
from stats import rollups
from stats.admin.links import LinkFiguresAdmin
from tests.factories.sending import MessageFactory, SendingProfileFactory
from tests.factories.tracking import HitFactory, TrackedLinkFactory
from tracking.events import record_hits
from tracking.models import TrackedLink

pytestmark = pytest.mark.django_db

LIST = "/admin/tracking/trackedlink/"


def sent(**fields: object) -> Message:
    left_at = timezone.now() - timedelta(hours=1)
    return MessageFactory.create(status=Status.SENT, handed_off_at=left_at, **fields)


def link_in(message: Message, position: int = 1) -> TrackedLink:
    return TrackedLinkFactory.create(
        template_version=message.template_version,
        position=position,
        url=f"https://shop.example/<{position}>",
    )


def click(message: Message, link: TrackedLink, **fields: object) -> None:
    record_hits([HitFactory.build(message=message, kind="clicked", link=link, **fields)])


def rows(client: Client, **query: str) -> dict[str, tuple[int, int, int]]:
    """Return of each link in the list: people, clicks by people, all clicks."""
    rollups.roll()
    listed = client.get(LIST, query).context["cl"].result_list
    return {
        link.url: tuple(link.counted.get(name, 0) for name in ("people", "by_people", "clicks"))
        for link in listed
    }


def test_list_counts_people_once_and_machines_apart(admin_client: Client) -> None:
    profile = SendingProfileFactory.create()
    ann, bob = sent(profile=profile), sent(profile=profile)
    link, unclicked = link_in(ann), link_in(ann, 2)
    click(ann, link)
    click(ann, link)
    click(bob, link)
    click(bob, link, user_agent="curl/8")
    assert rows(admin_client) == {link.url: (2, 3, 4), unclicked.url: (0, 0, 0)}
    assert "https://shop.example/&lt;1&gt;" in admin_client.get(LIST).text


def test_list_can_be_narrowed_down_to_a_template_or_to_the_clicks_of_a_key(
    admin_client: Client,
) -> None:
    profile = SendingProfileFactory.create()
    same_template = SendingProfileFactory.create(template=profile.template)
    ann, bob, other = sent(profile=profile), sent(profile=same_template), sent()
    link, foreign = link_in(ann), link_in(other)
    for message in (ann, bob):
        click(message, link)
    click(other, foreign)
    assert rows(admin_client, template=str(profile.template_id)) == {link.url: (2, 2, 2)}
    assert rows(admin_client, key=str(profile.api_key_id)) == {link.url: (1, 1, 1)}
    assert len(admin_client.get(LIST, {"key": "x"}).context["cl"].result_list) == 2


def test_list_costs_the_same_for_one_link_and_for_twenty(admin_client: Client) -> None:
    message = sent()
    link_in(message)
    with CaptureQueriesContext(connection) as one:
        admin_client.get(LIST)
    for position in range(2, 21):
        click(message, link_in(message, position))
    with CaptureQueriesContext(connection) as twenty:
        admin_client.get(LIST)
    assert len(twenty) == len(one)
    assert '"html"' not in " ".join(query["sql"] for query in twenty)


def test_the_page_of_a_link_tells_who_clicked_and_when(admin_client: Client) -> None:
    message = sent()
    link = link_in(message)
    click(message, link)
    click(message, link, user_agent="curl/8")
    rollups.roll()
    shown = admin_client.get(f"{LIST}{link.pk}/change/").text
    assert "1 of 2 clicks in all" in shown
    assert shown.count(message.recipient) == 2
    assert "Chrome on Windows (desktop)" in shown
    assert "not counted (tool)" in shown


def test_the_page_of_a_link_can_leave_machines_out(admin_client: Client) -> None:
    message = sent()
    link = link_in(message)
    page = f"{LIST}{link.pk}/change/?who=people"
    click(message, link, user_agent="curl/8")
    assert "No person has clicked it yet." in admin_client.get(page).text
    click(message, link)
    shown = admin_client.get(page).text
    assert shown.count(message.recipient) == 1
    assert "not counted" not in shown


def test_list_is_called_links_and_its_numbers_have_their_thousands_apart(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = link_in(sent())
    counted = {link.pk: {"people": 1364, "by_people": 2000, "clicks": 1_234_567}}
    monkeypatch.setattr(LinkFiguresAdmin, "counts_of", lambda *_, **__: counted)
    shown = admin_client.get(LIST).text
    assert all(number in shown for number in ("1,364", "2,000", "1,234,567"))
    assert "to view" not in shown
    assert "1,234,567 clicks in all" in admin_client.get(f"{LIST}{link.pk}/change/").text


def test_the_page_of_a_link_costs_the_same_for_one_click_and_for_twenty(
    admin_client: Client,
) -> None:
    message = sent()
    link = link_in(message)
    click(message, link)
    with CaptureQueriesContext(connection) as one:
        admin_client.get(f"{LIST}{link.pk}/change/")
    for _ in range(19):
        click(message, link)
    with CaptureQueriesContext(connection) as twenty:
        assert admin_client.get(f"{LIST}{link.pk}/change/").text.count(message.recipient) == 20
    assert len(twenty) == len(one)


def test_the_page_of_a_link_that_nobody_clicked_says_so(admin_client: Client) -> None:
    link = link_in(sent())
    assert "Nobody has clicked it yet." in admin_client.get(f"{LIST}{link.pk}/change/").text


def test_nobody_changes_links_here(admin_client: Client) -> None:
    link = link_in(sent())
    assert admin_client.get(f"{LIST}add/").status_code == 403
    assert admin_client.post(f"{LIST}{link.pk}/change/", {"url": "x"}).status_code == 403
    assert admin_client.post(f"{LIST}{link.pk}/delete/", {"post": "yes"}).status_code == 403
