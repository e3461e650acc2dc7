"""Alerts reach people and programs by the channels that an owner chose, each once."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import timezone

from guard import notices
from guard.alerts import tell
from guard.models import Alert, AlertChannel, AlertNotice
from guard.tasks import look
from tests.factories.sending import RouteFactory
from tests.sink import Sink, free_port

pytestmark = pytest.mark.django_db


class Hook:
    """A program that takes alerts: it keeps what came, and answers `status`."""

    def __init__(self) -> None:
        self.status = 204
        self.taken: list[tuple[dict[str, str], bytes]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.taken.append((dict(self.headers), body))
                self.send_response(hook.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/alerts"


@pytest.fixture
def hook() -> Iterator[Hook]:
    one = Hook()
    serving = threading.Thread(target=one.server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    yield one
    one.server.shutdown()
    serving.join()
    one.server.server_close()


@pytest.fixture
def webhook(hook: Hook) -> AlertChannel:
    return AlertChannel.objects.create(name="Pager", kind="webhook", url=hook.url, secret="s3cret")


@pytest.fixture
def mailbox(sink: Sink) -> AlertChannel:
    return AlertChannel.objects.create(
        name="On call",
        recipient="on-call@example.org",
        sender="alerts@sender.example",
        route=RouteFactory.create(name="Other way", port=sink.port),
    )


def alarm(subject: str = "The shop") -> bool:
    now = timezone.now()
    return tell(Alert.Kind.SPIKE, subject=subject, text="Far more.", since=now, now=now)


def come_due() -> None:
    AlertNotice.objects.update(next_try_at=timezone.now())


def test_a_program_is_told_and_can_check_who_says_so(hook: Hook, webhook: AlertChannel) -> None:
    assert alarm()
    assert notices.send_due() == 1
    ((headers, body),) = hook.taken
    told = json.loads(body)
    assert (told["kind"], told["subject"], told["text"]) == ("spike", "The shop", "Far more.")
    assert told["url"].endswith(f"/admin/guard/alert/{Alert.objects.get().pk}/change/")
    digest = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    assert headers["X-Signature"] == f"sha256={digest}"


def test_people_are_told_by_mail_over_the_route_that_was_chosen(
    sink: Sink, mailbox: AlertChannel
) -> None:
    alarm("The <b>shop</b>\nBcc: eve@example.org")
    assert notices.send_due() == 1
    (mail,) = sink.messages
    assert sink.recipients == ["on-call@example.org"]
    assert mail["From"].addresses[0].addr_spec == "alerts@sender.example"
    assert "A key sends far more than usual" in mail["Subject"]
    assert mail["Bcc"] is None
    assert "Far more." in mail.get_content()
    assert mail["Auto-Submitted"] == "auto-generated"


def test_each_is_told_once_however_often_it_is_seen(hook: Hook, webhook: AlertChannel) -> None:
    for _ in range(3):
        alarm()
        notices.send_due()
    assert len(hook.taken) == 1


def test_a_channel_that_is_away_is_told_later(hook: Hook, webhook: AlertChannel) -> None:
    hook.status = 503
    alarm()
    assert notices.send_due() == 0
    assert notices.send_due() == 0  # not before its pause is over
    assert len(hook.taken) == 1
    notice = AlertNotice.objects.get()
    assert "503" in notice.answer
    assert notice.next_try_at > timezone.now() + timedelta(seconds=30)
    hook.status = 200
    come_due()
    assert notices.send_due() == 1
    first, second = (json.loads(body)["id"] for _, body in hook.taken)
    assert first == second


def test_a_redirect_is_not_followed(hook: Hook, webhook: AlertChannel) -> None:
    hook.status = 302
    alarm()
    notices.send_due()
    assert len(hook.taken) == 1
    assert "302" in AlertNotice.objects.get().answer


def test_after_a_day_it_is_given_up_and_told_on_the_pages(
    webhook: AlertChannel, admin_client: Client
) -> None:
    AlertChannel.objects.update(url=f"http://127.0.0.1:{free_port()}/")
    alarm()
    for _ in range(len(notices.PAUSES) + 1):
        come_due()
        notices.send_due()
    notice = AlertNotice.objects.get()
    assert notice.status == AlertNotice.Status.FAILED
    come_due()
    assert notices.send_due() == 0
    assert (
        "ConnectionError" in admin_client.get(f"/admin/guard/alert/{notice.alert_id}/change/").text
    )
    assert "ConnectionError" in admin_client.get("/admin/guard/alertchannel/").text


def test_a_dead_channel_keeps_nothing_from_the_other(
    webhook: AlertChannel, sink: Sink, mailbox: AlertChannel
) -> None:
    AlertChannel.objects.filter(pk=webhook.pk).update(url=f"http://127.0.0.1:{free_port()}/")
    alarm()
    assert notices.send_due() == 1
    assert len(sink.messages) == 1


def test_a_channel_that_is_off_is_not_told(hook: Hook, webhook: AlertChannel) -> None:
    AlertChannel.objects.update(is_active=False)
    alarm()
    assert notices.send_due() == 0


def test_the_watch_sends_what_it_finds(hook: Hook, webhook: AlertChannel) -> None:
    alarm()
    look()
    assert len(hook.taken) == 1


def test_an_owner_tries_a_channel_and_reads_why_it_fails(
    hook: Hook, webhook: AlertChannel, admin_client: Client
) -> None:
    path = f"/admin/guard/alertchannel/{webhook.pk}/test/"
    assert "is sent now" in admin_client.get(path).text
    assert hook.taken == []
    assert "It was taken" in admin_client.post(path, follow=True).text
    hook.status = 500
    assert "answered with 500" in admin_client.post(path, follow=True).text
    assert not Alert.objects.exists()


def test_a_secret_does_not_come_out_and_stays_with_its_url(
    webhook: AlertChannel, admin_client: Client
) -> None:
    path = f"/admin/guard/alertchannel/{webhook.pk}/change/"
    assert "s3cret" not in admin_client.get(path).text
    form = {"name": "Pager", "kind": "webhook", "is_active": "on", "url": webhook.url, "secret": ""}
    admin_client.post(path, form)
    assert AlertChannel.objects.get().secret == "s3cret"
    admin_client.post(path, form | {"url": "https://evil.example/"})
    assert AlertChannel.objects.get().secret == ""


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"kind": "mail", "sender": "a@sender.example"}, "recipient"),
        ({"kind": "mail", "recipient": "a@example.org"}, "sender"),
        ({"kind": "webhook"}, "url"),
        ({"kind": "webhook", "url": "ftp://example.org/"}, "url"),
    ],
)
def test_what_is_missing_is_told_by_field(given: dict[str, str], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        AlertChannel(name="x", **given).full_clean()
    assert field in caught.value.message_dict
