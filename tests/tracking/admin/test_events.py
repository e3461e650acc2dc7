"""What an operator sees of all that happened, fast however much that is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sending.admin.base import MAX_PAGES
from sending.admin.timeline import MAX_EVENTS
from sending.models import Event, Message, Status
from tests.factories.sending import EventFactory, MessageFactory
from tests.factories.tracking import APPLE_PRIVACY, CHROME, GMAIL, HitFactory, TrackedLinkFactory
from tracking.admin.filters import NEIGHBOURS, first_written_since
from tracking.events import record_hits
from tracking.models import TrackedLink

pytestmark = pytest.mark.django_db

LIST = "/admin/sending/event/"


@pytest.fixture
def message() -> Message:
    return MessageFactory.create(
        status=Status.SENT, handed_off_at=timezone.now() - timedelta(hours=1)
    )


@pytest.fixture
def link(message: Message) -> TrackedLink:
    return TrackedLinkFactory.create(
        template_version=message.template_version, position=1, url="https://shop.example/<sale>"
    )


def listed(client: Client, **query: str) -> list[Event]:
    return list(client.get(LIST, query).context["cl"].result_list)


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events]


def test_list_is_newest_first_and_says_who_did_what(
    admin_client: Client, message: Message, link: TrackedLink
) -> None:
    EventFactory.create(message=message, kind="bounced", status_after="", detail="550 <b>no</b>")
    record_hits([HitFactory.build(message=message, kind="clicked", link=link)])
    assert kinds(listed(admin_client)) == ["clicked", "bounced"]
    shown = admin_client.get(LIST).text
    assert "550 &lt;b&gt;no&lt;/b&gt;" in shown
    assert "shop.example/&lt;sale&gt;, Chrome on Windows (desktop)" in shown
    assert f"/admin/sending/message/{message.pk}/change/" in shown


def test_list_costs_the_same_for_one_event_and_for_fifty(
    admin_client: Client, message: Message
) -> None:
    record_hits([HitFactory.build(message=message)])
    with CaptureQueriesContext(connection) as one:
        admin_client.get(LIST)
    others = MessageFactory.create_batch(49, status=Status.SENT)
    record_hits([HitFactory.build(message=other) for other in others])
    with CaptureQueriesContext(connection) as fifty:
        admin_client.get(LIST)
    assert len(fifty) == len(one)


@pytest.mark.parametrize("query", [{}, {"kind": "bounced"}, {"who": "human"}, {"happened": "day"}])
def test_list_never_counts_the_events(
    admin_client: Client, message: Message, query: dict[str, str]
) -> None:
    record_hits([HitFactory.build(message=message)])
    with CaptureQueriesContext(connection) as captured:
        admin_client.get(LIST, query | {"_facets": "True"})
    asked = " ".join(one["sql"] for one in captured if "sending_event" in one["sql"])
    assert "COUNT" not in asked
    assert '"attribs"' not in asked


def test_pages_end_before_they_are_slow(admin_client: Client, message: Message) -> None:
    EventFactory.create(message=message)
    assert admin_client.get(LIST, {"p": MAX_PAGES}).status_code == 200
    assert admin_client.get(LIST, {"p": MAX_PAGES + 1}).status_code == 302


def test_list_can_be_narrowed_down(admin_client: Client, message: Message) -> None:
    EventFactory.create(message=message, kind="bounced", status_after="")
    record_hits(
        [
            HitFactory.build(message=message, user_agent=CHROME),
            HitFactory.build(message=message, user_agent=APPLE_PRIVACY),
            HitFactory.build(message=message, user_agent="curl/8"),
        ]
    )
    assert kinds(listed(admin_client, kind="bounced")) == ["bounced"]
    assert len(listed(admin_client, kind="opened")) == 3
    assert len(listed(admin_client, kind="opened", who="proxy")) == 1
    assert len(listed(admin_client, who="human")) == 1
    assert len(listed(admin_client, who="nonsense", kind="nonsense")) == 4


def test_events_are_found_by_recipient_and_message(admin_client: Client, message: Message) -> None:
    mine = EventFactory.create(message=message)
    EventFactory.create()
    for term in (message.recipient, str(message.pk), message.message_id):
        assert listed(admin_client, q=term) == [mine]
    for term in ("ann", "%", "nobody@recipient.example"):
        assert listed(admin_client, q=term) == []


def test_events_of_a_span_of_time_are_found_by_their_ids(
    admin_client: Client, message: Message
) -> None:
    now = timezone.now()
    ages = [1000, 800, 100, 20, 5, 0.5]
    for age in ages:
        EventFactory.create(message=message, occurred_at=now - timedelta(hours=age))
    counts = {
        span: len(listed(admin_client, happened=span)) for span in ("hour", "day", "week", "before")
    }
    assert counts == {"hour": 1, "day": 3, "week": 4, "before": 2}


def test_what_is_told_late_does_not_mislead_the_search(message: Message) -> None:
    now = timezone.now()
    written = [
        EventFactory.build(message=message, occurred_at=now - timedelta(minutes=age))
        for age in range(200, 0, -1)
    ]
    for place in range(3, 200, 7):
        written[place].occurred_at = now - timedelta(days=30)
    Event.objects.bulk_create(written)
    first = first_written_since(now - timedelta(minutes=90, seconds=1))
    assert written[110].pk - NEIGHBOURS < first <= written[110].pk
    assert first_written_since(now + timedelta(days=1)) == written[-1].pk + 1


def test_the_search_for_a_time_is_one_query(message: Message) -> None:
    EventFactory.create_batch(40, message=message)
    with CaptureQueriesContext(connection) as captured:
        first_written_since(timezone.now() - timedelta(hours=1))
    assert len(captured) == 1


def test_without_events_nothing_is_found(admin_client: Client) -> None:
    assert listed(admin_client, happened="hour") == []


def test_an_event_leads_to_its_message(admin_client: Client, message: Message) -> None:
    event = EventFactory.create(message=message)
    answer = admin_client.get(f"{LIST}{event.pk}/change/")
    assert answer["Location"] == f"/admin/sending/message/{message.pk}/change/"
    assert admin_client.get(f"{LIST}{event.pk + 1}/change/").status_code == 302


def test_nobody_writes_events_here(admin_client: Client, message: Message) -> None:
    event = EventFactory.create(message=message)
    assert admin_client.get(f"{LIST}add/").status_code == 403
    assert admin_client.post(f"{LIST}{event.pk}/change/", {"kind": "x"}).status_code == 403
    assert admin_client.post(f"{LIST}{event.pk}/delete/", {"post": "yes"}).status_code == 403


def test_the_page_of_a_message_tells_who_opened_and_what_was_clicked(
    admin_client: Client, message: Message, link: TrackedLink
) -> None:
    record_hits(
        [
            HitFactory.build(message=message, user_agent=GMAIL, ip="66.249.84.13"),
            HitFactory.build(message=message, kind="clicked", link=link),
            HitFactory.build(message=message, kind="clicked", link=link, user_agent="curl/8"),
        ]
    )
    shown = admin_client.get(f"/admin/sending/message/{message.pk}/change/").text
    assert "counts as a person (gmail proxy), Gmail, 66.249.84.13" in shown
    assert "Chrome on Windows (desktop), 203.0.113.7" in shown
    assert "not counted (tool), 203.0.113.7" in shown
    assert "https://shop.example/&lt;sale&gt;" in shown
    assert "First clicked" in shown


def test_the_timeline_costs_the_same_for_one_event_and_for_many(
    admin_client: Client, message: Message
) -> None:
    page = f"/admin/sending/message/{message.pk}/change/"
    record_hits([HitFactory.build(message=message)])
    with CaptureQueriesContext(connection) as one:
        admin_client.get(page)
    record_hits(HitFactory.build_batch(MAX_EVENTS + 5, message=message))
    with CaptureQueriesContext(connection) as many:
        shown = admin_client.get(page).text
    assert len(many) == len(one)
    assert shown.count("Chrome on Windows") == MAX_EVENTS
    assert f"These are the first {MAX_EVENTS}" in shown
