"""What an operator sees of messages, and does with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sending.admin.base import MAX_PAGES
from sending.models import Message, SendingProfile, Status, first_id_since, new_message_id
from tests.factories.sending import (
    AttemptFactory,
    EventFactory,
    MessageFactory,
    SendingProfileFactory,
    SuppressionFactory,
)

pytestmark = pytest.mark.django_db

LIST = "/admin/sending/message/"


@pytest.fixture
def profile() -> SendingProfile:
    return SendingProfileFactory.create()


def page(message: Message, name: str = "change") -> str:
    return f"{LIST}{message.pk}/{name}/"


def listed(client: Client, **query: str) -> list[Message]:
    return list(client.get(LIST, query).context["cl"].result_list)


def id_at(moment: datetime) -> UUID:
    return UUID(int=first_id_since(moment).int | new_message_id().int & (1 << 80) - 1)


def test_list_is_newest_first_and_shows_why(admin_client: Client, profile: SendingProfile) -> None:
    old = MessageFactory.create(profile=profile, id=id_at(timezone.now() - timedelta(seconds=1)))
    new = MessageFactory.create(
        profile=profile, status=Status.BOUNCED, reason="550 <b>No such user</b>"
    )
    assert listed(admin_client) == [new, old]
    shown = admin_client.get(LIST).content.decode()
    assert "550 &lt;b&gt;No such user&lt;/b&gt;" in shown


def test_list_costs_the_same_for_one_message_and_for_fifty(
    admin_client: Client, profile: SendingProfile
) -> None:
    MessageFactory.create(profile=profile)
    with CaptureQueriesContext(
        connection,
    ) as one:
        admin_client.get(LIST)
    MessageFactory.create_batch(49, profile=profile)
    with CaptureQueriesContext(connection) as fifty:
        admin_client.get(LIST)
    assert len(fifty) == len(one)


def test_list_neither_counts_the_rows_nor_reads_the_large_columns(
    admin_client: Client, profile: SendingProfile
) -> None:
    MessageFactory.create(profile=profile)
    with CaptureQueriesContext(connection) as captured:
        admin_client.get(LIST, {"status__exact": "queued", "_facets": "True"})
    asked = " ".join(query["sql"] for query in captured if "sending_message" in query["sql"])
    assert "COUNT" not in asked
    assert '"attribs"' not in asked
    assert '"html"' not in asked


def test_pages_end_before_they_are_slow(admin_client: Client, profile: SendingProfile) -> None:
    MessageFactory.create(profile=profile)
    assert admin_client.get(LIST, {"p": MAX_PAGES}).status_code == 200
    assert admin_client.get(LIST, {"p": MAX_PAGES + 1}).status_code == 302


def test_message_is_found_by_recipient_id_and_message_id(
    admin_client: Client, profile: SendingProfile
) -> None:
    message = MessageFactory.create(profile=profile, recipient="Ann@recipient.example")
    MessageFactory.create(profile=profile)
    for term in (
        "Ann@recipient.example",
        " Ann@RECIPIENT.example ",
        str(message.pk),
        message.message_id,
        message.pk.hex[:8] + str(message.pk)[8:],
    ):
        assert listed(admin_client, q=term) == [message], term


@pytest.mark.parametrize("term", ["ann", "%", "recipient.example", "bob@recipient.example"])
def test_search_never_scans(admin_client: Client, profile: SendingProfile, term: str) -> None:
    MessageFactory.create(profile=profile, recipient="ann@recipient.example")
    assert listed(admin_client, q=term) == []


def test_list_can_be_narrowed_down(admin_client: Client, profile: SendingProfile) -> None:
    sent = MessageFactory.create(profile=profile, status=Status.SENT)
    other = MessageFactory.create(status=Status.FAILED)
    assert listed(admin_client, status__exact="sent") == [sent]
    assert listed(admin_client, status__in="failed,bounced") == [other]
    assert listed(admin_client, key=str(profile.pk)) == [sent]
    assert listed(admin_client, template=str(other.template_version.template_id)) == [other]
    assert len(listed(admin_client, key="nonsense")) == 2


def test_list_can_be_narrowed_down_by_time(admin_client: Client, profile: SendingProfile) -> None:
    now = timezone.now()
    ages = {"hour": 0.5, "day": 20, "week": 6 * 24, "month": 29 * 24, "before": 31 * 24}
    made = {
        name: MessageFactory.create(profile=profile, id=id_at(now - timedelta(hours=hours)))
        for name, hours in ages.items()
    }
    assert listed(admin_client, accepted="hour") == [made["hour"]]
    assert listed(admin_client, accepted="day") == [made["hour"], made["day"]]
    assert len(listed(admin_client, accepted="month")) == 4
    assert listed(admin_client, accepted="before") == [made["before"]]


def test_list_can_be_narrowed_down_to_days(
    admin_client: Client, profile: SendingProfile, settings
) -> None:
    settings.TIME_ZONE = "America/New_York"
    first, last = datetime(2026, 3, 1, 5, tzinfo=UTC), datetime(2026, 3, 4, 4, 59, tzinfo=UTC)
    meant = [MessageFactory.create(profile=profile, id=id_at(at)) for at in (last, first)]
    for outside in (first - timedelta(seconds=1), last + timedelta(minutes=1)):
        MessageFactory.create(profile=profile, id=id_at(outside))
    assert listed(admin_client, accepted="2026-03-01..2026-03-03") == meant
    for unreadable in ("2026-03-03..2026-03-01", "2026-03-01", "0001-01-01..9999-12-31", "..", "x"):
        assert len(listed(admin_client, accepted=unreadable)) == 4


def test_first_id_is_below_every_id_of_its_moment() -> None:
    before = datetime.now(UTC)
    message_id = new_message_id()
    assert first_id_since(before) <= message_id < first_id_since(before + timedelta(seconds=5))


def test_page_shows_timeline_attempts_and_the_words_of_the_server(
    admin_client: Client, profile: SendingProfile
) -> None:
    message = MessageFactory.create(profile=profile, status=Status.BOUNCED)
    EventFactory.create(message=message)
    AttemptFactory.create(
        message=message,
        route=profile.route,
        outcome=Status.BOUNCED,
        reply_code=550,
        enhanced_status="5.1.1",
        reply_text="<script>alert(1)</script>",
    )
    response = admin_client.get(page(message))
    shown = response.content.decode()
    assert "550 5.1.1 &lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "<script>alert(1)" not in shown
    assert profile.route.name in shown
    assert "Hello Ann" in shown
    assert '<iframe sandbox=""' in shown
    assert "frame-src 'none'" in response["Content-Security-Policy"]


def test_looking_at_a_mail_here_is_no_opening_of_it(
    admin_client: Client, profile: SendingProfile
) -> None:
    message = MessageFactory.create(
        profile=profile, track_opens=True, track_clicks=True, attribs={"name": "Ann"}
    )
    shown = admin_client.get(page(message)).content.decode()
    assert "Hello Ann" in shown
    assert "/t/o/" not in shown
    assert "/t/c/" not in shown


def test_page_of_a_message_whose_mail_cannot_be_made_still_opens(
    admin_client: Client, profile: SendingProfile
) -> None:
    message = MessageFactory.create(profile=profile, subject="{{.API.name")
    shown = admin_client.get(page(message)).content.decode()
    assert "It cannot be shown: Line 1" in shown


def test_nobody_writes_a_message_here(admin_client: Client, profile: SendingProfile) -> None:
    message = MessageFactory.create(profile=profile)
    assert admin_client.get(f"{LIST}add/").status_code == 403
    assert admin_client.post(page(message), {"recipient": "x@y.example"}).status_code == 403
    assert admin_client.post(page(message, "delete"), {"post": "yes"}).status_code == 403
    assert Message.objects.get().recipient == message.recipient


@pytest.mark.parametrize(
    "status", [Status.FAILED, Status.REJECTED, Status.BOUNCED, Status.EXPIRED, Status.UNKNOWN]
)
def test_ended_message_is_sent_again_after_a_question(
    admin_client: Client, profile: SendingProfile, status: Status
) -> None:
    message = MessageFactory.create(profile=profile, status=status)
    assert "Send again" in admin_client.get(page(message, "send-again")).content.decode()
    message.refresh_from_db()
    assert message.status == status

    admin_client.post(page(message, "send-again"))
    message.refresh_from_db()
    assert message.status == Status.QUEUED
    assert message.events.get().detail == "Sent again by admin."
    assert "Sent again." in LogEntry.objects.get().change_message


def test_unknown_message_is_marked_delivered_after_a_question(
    admin_client: Client, profile: SendingProfile
) -> None:
    message = MessageFactory.create(profile=profile, status=Status.UNKNOWN)
    assert "mark-delivered/" in admin_client.get(page(message)).content.decode()
    asked = admin_client.get(page(message, "mark-delivered")).content.decode()
    assert "it is not sent again then" in asked
    message.refresh_from_db()
    assert message.status == Status.UNKNOWN

    admin_client.post(page(message, "mark-delivered"))
    message.refresh_from_db()
    assert message.status == Status.DELIVERED
    assert message.events.get().detail == "Marked delivered by admin."
    assert "Marked delivered." in LogEntry.objects.get().change_message
    assert admin_client.post(page(message, "mark-delivered")).status_code == 403


def test_selected_unknown_messages_are_marked_delivered_after_a_question(
    admin_client: Client, profile: SendingProfile
) -> None:
    unknown = MessageFactory.create(profile=profile, status=Status.UNKNOWN)
    failed = MessageFactory.create(profile=profile, status=Status.FAILED)
    ids = [str(unknown.pk), str(failed.pk)]
    chosen = {"action": "mark_selected_delivered", "_selected_action": ids}
    asked = admin_client.post(LIST, chosen).content.decode()
    assert "1 of the selected messages are unknown" in asked
    admin_client.post(LIST, {**chosen, "confirmed": "yes"})
    statuses = dict(Message.objects.values_list("pk", "status"))
    assert statuses == {unknown.pk: Status.DELIVERED, failed.pk: Status.FAILED}


@pytest.mark.parametrize("status", [Status.SENT, Status.DELIVERED, Status.SUPPRESSED])
def test_message_that_went_or_may_not_go_is_not_sent_again(
    admin_client: Client, profile: SendingProfile, status: Status
) -> None:
    message = MessageFactory.create(profile=profile, status=status)
    assert "send-again" not in admin_client.get(page(message)).content.decode()
    assert admin_client.post(page(message, "send-again")).status_code == 403
    assert not LogEntry.objects.exists()


def test_waiting_message_is_canceled_after_a_question(
    admin_client: Client, profile: SendingProfile
) -> None:
    message = MessageFactory.create(profile=profile, status=Status.DEFERRED)
    assert admin_client.get(page(message, "cancel")).status_code == 200
    admin_client.post(page(message, "cancel"))
    message.refresh_from_db()
    assert message.status == Status.CANCELED
    assert admin_client.post(page(message, "cancel")).status_code == 403


def test_selected_messages_are_sent_again_after_a_question(
    admin_client: Client, profile: SendingProfile
) -> None:
    failed = MessageFactory.create(profile=profile, status=Status.FAILED)
    sent = MessageFactory.create(profile=profile, status=Status.SENT)
    chosen = {"action": "send_selected_again", "_selected_action": [str(failed.pk), str(sent.pk)]}
    asked = admin_client.post(LIST, chosen)
    assert "1 of the selected messages can be sent again" in asked.content.decode()
    assert set(Message.objects.values_list("status", flat=True)) == {"failed", "sent"}

    done = admin_client.post(LIST, {**chosen, "confirmed": "yes"}, follow=True)
    assert "1 queued again." in done.content.decode()
    assert set(Message.objects.values_list("status", flat=True)) == {"queued", "sent"}


def test_selected_messages_are_canceled_after_a_question(
    admin_client: Client, profile: SendingProfile
) -> None:
    waiting = MessageFactory.create(profile=profile)
    chosen = {"action": "cancel_selected", "_selected_action": [str(waiting.pk)]}
    admin_client.post(LIST, chosen)
    assert Message.objects.get().status == Status.QUEUED
    admin_client.post(LIST, {**chosen, "confirmed": "yes"})
    assert Message.objects.get().status == Status.CANCELED


def test_who_may_only_look_changes_nothing(profile: SendingProfile) -> None:
    message = MessageFactory.create(profile=profile)
    person = User.objects.create_user("viewer", is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="view_message"))
    client = Client()
    client.force_login(person)
    shown = client.get(page(message))
    assert shown.status_code == 200
    assert "cancel/" not in shown.content.decode()
    assert client.post(page(message, "cancel")).status_code == 403
    chosen = {"action": "cancel_selected", "_selected_action": [str(message.pk)]}
    client.post(LIST, {**chosen, "confirmed": "yes"})
    assert Message.objects.get().status == Status.QUEUED

    Message.objects.update(status=Status.UNKNOWN, next_attempt_at=None)
    assert client.post(page(message, "mark-delivered")).status_code == 403
    client.post(LIST, {**chosen, "action": "mark_selected_delivered", "confirmed": "yes"})
    assert Message.objects.get().status == Status.UNKNOWN


def test_forged_post_is_refused(admin_user: User, profile: SendingProfile) -> None:
    message = MessageFactory.create(profile=profile)
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    assert client.post(page(message, "cancel")).status_code == 403
    assert Message.objects.get().status == Status.QUEUED


def test_page_of_an_unknown_message_is_not_an_error_of_ours(admin_client: Client) -> None:
    for identity in (str(new_message_id()), "nonsense"):
        assert admin_client.get(f"{LIST}{identity}/change/").status_code in (302, 404)
        assert admin_client.get(f"{LIST}{identity}/cancel/").status_code in (403, 404)


@pytest.mark.parametrize("rule", ["ann@recipient.example", "@recipient.example"])
def test_suppressed_recipient_is_not_sent_to_again_but_explained(
    admin_client: Client, profile: SendingProfile, rule: str
) -> None:
    order = SuppressionFactory.create(address=rule, reason="bounced")
    message = MessageFactory.create(
        profile=profile, status=Status.BOUNCED, recipient="Ann@recipient.example"
    )
    for act in (admin_client.get, admin_client.post):
        shown = act(page(message, "send-again"), follow=True).content.decode()
        assert "ann@recipient.example is suppressed because it has bounced before" in shown
        assert f'href="/admin/sending/suppression/{order.pk}/change/">lift that first</a>' in shown
    message.refresh_from_db()
    assert message.status == Status.BOUNCED
    assert not LogEntry.objects.exists()

    admin_client.post(f"/admin/sending/suppression/{order.pk}/lift/", {"note": "Back."})
    admin_client.post(page(message, "send-again"))
    message.refresh_from_db()
    assert message.status == Status.QUEUED


def test_suppressed_recipients_are_left_out_of_what_is_sent_again(
    admin_client: Client, profile: SendingProfile
) -> None:
    SuppressionFactory.create(address="gone@recipient.example", reason="bounced")
    free = MessageFactory.create(profile=profile, status=Status.FAILED)
    gone = MessageFactory.create(
        profile=profile, status=Status.BOUNCED, recipient="gone@recipient.example"
    )
    chosen = {"action": "send_selected_again", "_selected_action": [str(free.pk), str(gone.pk)]}
    asked = admin_client.post(LIST, chosen).content.decode()
    assert "1 of the selected messages can be sent again" in asked
    assert "gone@recipient.example is suppressed" in asked

    done = admin_client.post(LIST, {**chosen, "confirmed": "yes"}, follow=True)
    assert "gone@recipient.example is suppressed" in done.content.decode()
    statuses = dict(Message.objects.values_list("pk", "status"))
    assert statuses == {free.pk: Status.QUEUED, gone.pk: Status.BOUNCED}
