"""Walk (b): a mail from the API to the sink, its pixel and links over HTTP, the events."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.management import CommandError, call_command
from django.test import Client

from sending.delivery import deliver_due
from sending.models import Message, Route, SendingProfile
from tests.factories.apikeys import key_with_secret
from tests.factories.sending import SenderDomainFactory, SendingProfileFactory, TemplateFactory
from tests.sink import Sink, free_port
from tracking.drainer import drain
from tracking.hits import GIF
from tracking.models import TrackedLink

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

HTML = """<html><body><p>Hello {{.API.name}}</p>
<a href="https://shop.example/?a=1&amp;b=2">shop</a>
<a href="https://shop.example/orders/{{.API.order}}">order</a>
<a href="mailto:help@shop.example">help</a></body></html>"""


class Caller:
    """Somebody with a key that tracks everything."""

    def __init__(self) -> None:
        self.key, self._secret = key_with_secret()
        template = TemplateFactory.create(version__html=HTML)
        SendingProfileFactory.create(
            api_key=self.key, route=None, template=template, track_opens=True, track_clicks=True
        )

    def send(self, **fields: Any) -> Any:
        body = {
            "recipient": "ann@recipient.example",
            "attribs": {"name": "Ann", "order": "4711"},
        } | fields
        return Client(headers={"X-API-Key": self._secret}).post(
            "/api/batch_mail/api/send", body, content_type="application/json"
        )


@pytest.fixture
def caller(route: Route) -> Caller:
    return Caller()


def html_at(sink: Sink) -> str:
    """The HTML part of the mail that arrived last."""
    deliver_due()
    return sink.messages[-1].get_body(("html",)).get_content()


def test_what_the_recipient_does_ends_in_the_history_of_the_message(
    caller: Caller, sink: Sink, live_server: Any, settings: Any, home: Path
) -> None:
    settings.PUBLIC_URL = live_server.url
    assert caller.send().json()["success"] is True
    html = html_at(sink)
    (pixel,) = re.findall(r'src="([^"]+)"', html)
    shop, order, help_ = re.findall(r'href="([^"]+)"', html)
    assert help_ == "mailto:help@shop.example"

    assert requests.get(pixel, timeout=60).content == GIF
    leads = [
        requests.get(link, allow_redirects=False, timeout=60).headers["Location"]
        for link in (shop, order)
    ]
    assert leads == ["https://shop.example/?a=1&b=2", "https://shop.example/orders/4711"]

    assert drain(home) == 3
    message = Message.objects.get()
    kinds = message.events.order_by("id").values_list("kind", flat=True)
    assert list(kinds)[-3:] == ["opened", "clicked", "clicked"]
    assert [row.url for row in TrackedLink.objects.order_by("position")] == [
        "https://shop.example/?a=1&amp;b=2",
        "https://shop.example/orders/{{.API.order}}",
    ]


@pytest.mark.parametrize(
    ("key_says", "request_says", "pixels", "links"),
    [
        ((True, True), {}, 1, 2),
        ((False, False), {}, 0, 0),
        ((True, True), {"track_opens": False}, 0, 2),
        ((True, True), {"track_clicks": False}, 1, 0),
        ((True, True), {"track_opens": False, "track_clicks": False}, 0, 0),
        ((False, False), {"track_opens": True, "track_clicks": True}, 1, 2),
        ((True, False), {"track_opens": None, "track_clicks": None}, 1, 0),
    ],
)
def test_the_request_decides_else_the_key(
    caller: Caller,
    sink: Sink,
    key_says: tuple[bool, bool],
    request_says: dict[str, bool],
    pixels: int,
    links: int,
) -> None:
    profile = caller.key.sending_profile
    profile.track_opens, profile.track_clicks = key_says
    profile.save()
    caller.send(**request_says)
    # Pinned at acceptance: what the key says later is for later mail.
    type(profile).objects.update(track_opens=True, track_clicks=True)
    html = html_at(sink)
    assert (html.count("/t/o/"), html.count("/t/c/")) == (pixels, links)
    if (pixels, links) == (0, 0):
        untracked = HTML.replace("{{.API.name}}", "Ann").replace("{{.API.order}}", "4711")
        assert html.splitlines() == untracked.splitlines()


@pytest.mark.parametrize("wrong", ["yes", 1, [], {}])
def test_a_switch_that_is_neither_true_nor_false_is_refused(caller: Caller, wrong: Any) -> None:
    answer = caller.send(track_clicks=wrong)
    assert answer.status_code == 422
    assert answer.json()["code"] == 1005
    assert "track_clicks must be true or false" in answer.json()["msg"]
    assert not Message.objects.exists()


def test_a_batch_can_be_tracked_or_not(caller: Caller, sink: Sink) -> None:
    answer = Client(headers={"X-API-Key": caller._secret}).post(
        "/api/batch_mail/api/batch_send",
        {"recipients": ["a@recipient.example", "b@recipient.example"], "track_opens": False},
        content_type="application/json",
    )
    assert answer.json()["data"]["queued"] == 2
    assert set(Message.objects.values_list("track_opens", "track_clicks")) == {(False, True)}


def test_a_new_key_tracks_unless_it_is_told_not_to() -> None:
    key, _ = key_with_secret()
    profile = SendingProfile.objects.create(api_key=key)
    assert (profile.track_opens, profile.track_clicks) == (True, True)


def test_the_command_tells_which_address_cannot_be_reached(
    live_server: Any, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.PUBLIC_URL = live_server.url
    call_command("check_tracking")
    assert f"works  {live_server.url}  (PUBLIC_URL)" in capsys.readouterr().out
    SenderDomainFactory.create(domain="x.example", tracking_domain="links.invalid")
    with pytest.raises(CommandError, match=r"links\.invalid"):
        call_command("check_tracking")
    assert "works" in capsys.readouterr().out
    settings.PUBLIC_URL = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(CommandError, match="cannot be fetched from this machine"):
        call_command("check_tracking")
    settings.PUBLIC_URL = live_server.url + "/elsewhere"
    with pytest.raises(CommandError, match="answers 404"):
        call_command("check_tracking")
