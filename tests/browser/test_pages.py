"""Pages work in a real browser: no error, no request to another host, the facts on them."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.utils import timezone
from playwright.sync_api import Browser, Page

from apikeys import refusals
from apikeys.addresses import parse_address
from guard import watch
from sending import blocks, ledger, outages
from sending.commands.routes import set_fallback_routes
from sending.models import Message, Route, SenderDomain, Status, Suppression
from sending.suppressions import lift
from tests.factories.facts import FactFactory
from tests.factories.sending import (
    AttemptFactory,
    EventFactory,
    MessageFactory,
    RouteFactory,
    SenderDomainFactory,
    SendingProfileFactory,
    SuppressionFactory,
)
from tests.factories.tracking import APPLE_PRIVACY, GMAIL, HitFactory, TrackedLinkFactory
from tracking.events import record_hits
from tracking.models import TrackedLink
from unsubscribe import tokens
from unsubscribe.models import PageWording

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

PASSWORD = "correct horse battery staple"
ARTIFACTS = Path(__file__).parents[1] / "artifacts"
PHONE, DESKTOP = (390, "dark"), (1280, "light")
SETTLED_MS = 100  # what a page asks for after it is loaded, it asks at once
# A blue square.
LOGO = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAKklEQVR42mOQ9btBU8"
    "QwasGoBaMWjFowasGoBaMWjFowasGoBaMWDBULAKr5DExNXJUPAAAAAElFTkSuQmCC"
)
# What a preview may not load is reported as an error, which is the preview's purpose.
EXPECTED = ("Content Security Policy", "sandboxed")


class Visitor:
    """Somebody with a browser who notices every complaint and every foreign address.

    What is opened to be looked at is opened on a phone, and looked at again on a desktop.
    """

    def __init__(self, browser: Browser, url: str, screen: tuple[int, str] = PHONE) -> None:
        self.url = url
        self.complaints: list[str] = []
        context = browser.new_context()
        context.set_default_timeout(60_000)
        self.page: Page = context.new_page()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfinished", self._watch)
        self.page.on("requestfailed", self._watch)
        on_screen(self.page, *screen)

    def _hear(self, message: Any) -> None:
        if message.type == "error" and not any(word in message.text for word in EXPECTED):
            self.complaints.append(f"{self.page.url}: {message.text}")

    def _watch(self, request: Any) -> None:
        """Complain of what is asked elsewhere, but for what our policy kept from being asked."""
        if request.failure != "csp" and not request.url.startswith(
            (self.url, "data:", "blob:", "about:")
        ):
            self.complaints.append(f"{self.page.url} asked {request.url}")

    def sign_in(self) -> None:
        self.page.goto(f"{self.url}/admin/")
        self.page.fill("input[name=username]", "ann")
        self.page.fill("input[name=password]", PASSWORD)
        self.page.click("button[type=submit]")
        self.page.wait_for_url(f"{self.url}/admin/")

    def open(self, path: str, *, shows: str, name: str) -> None:
        on_screen(self.page, *PHONE)
        answer = self.page.goto(self.url + path)
        assert answer is not None
        assert answer.status == 200, path
        self.page.wait_for_timeout(SETTLED_MS)
        for width, scheme in (PHONE, DESKTOP):
            on_screen(self.page, width, scheme)
            assert shows in self.page.inner_text("body"), path
            assert fits(self.page), f"{path} has to be scrolled sideways at {width}"
            keep(self.page, f"{name}-{width}-{scheme}")


def on_screen(page: Page, width: int, scheme: Any) -> None:
    """Show the page on a screen of that width to somebody who likes these colours."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)


def fits(page: Page) -> bool:
    """Tell whether nobody has to scroll sideways, the page or a table on it."""
    return bool(
        page.evaluate(
            "[document.documentElement, ...document.querySelectorAll('.bm-scroll')].every("
            "one => !one.checkVisibility({contentVisibilityAuto: true})"
            " || one.scrollWidth <= one.clientWidth)"
        )
    )


def keep(page: Page, name: str) -> None:
    """Keep how the page looks."""
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)


@pytest.fixture
def message() -> Message:
    get_user_model().objects.create_superuser("ann", password=PASSWORD)
    RouteFactory.create(name="To the sink", is_default=True)
    relay = RouteFactory.create(name="Relay")
    outages.pause(relay, reason="535 5.7.8 <b>Bad password</b>", now=timezone.now())
    away = RouteFactory.create(name="Away")
    outages.mark_down(away, reason="connection refused", now=timezone.now())
    domain = SenderDomainFactory.create(
        domain="sender.example", tracking_domain="links.sender.example"
    )
    PageWording.objects.create(
        sender_domain=domain, language="zh-hans", button="我要退订", logo=LOGO
    )
    PageWording.objects.create(sender_domain=domain, question="Leave us?", logo=LOGO)
    refusal = blocks.Refusal("sender.example", "mailbox.example", "550 5.7.1 <b>Blocked</b>")
    blocks.note([refusal], now=timezone.now())
    SuppressionFactory.create(address="gone@recipient.example")
    lift("gone@recipient.example", by="ann", note="She asked again.")
    SuppressionFactory.create(address="gone@recipient.example", note="And again")
    SuppressionFactory.create(
        address="@blocked.example", kind="domain", reason="blacklisted", by="ann"
    )
    profile = SendingProfileFactory.create()
    set_fallback_routes(key=profile.api_key, routes=[relay])
    return MessageFactory.create(
        profile=profile, status=Status.REJECTED, reason="550 5.7.1 <b>no</b>"
    )


def test_every_page_of_the_dashboard_opens_without_a_complaint(
    browser: Browser, live_server: Any, message: Message
) -> None:
    visitor = Visitor(browser, live_server.url)
    visitor.sign_in()
    key, version = message.api_key, message.template_version
    relay = Route.objects.get(name="Relay")
    order = Suppression.objects.get(address="gone@recipient.example")
    domain = SenderDomain.objects.get()
    unknown = MessageFactory.create(
        profile=key.sending_profile, status=Status.UNKNOWN, reason="The answer was lost"
    )
    assert version is not None
    watch.look(now=timezone.now())
    for reason, number in (("unknown", 9), ("network", 3)):
        for _ in range(number):
            refusals.note(reason=reason, address=parse_address("192.0.2.1"))
    refusals.counted.flush()
    LogEntry.objects.create(
        user=get_user_model().objects.get(),
        action_flag=CHANGE,
        object_repr="suppressions",
        change_message="Pasted 3 addresses.",
    )
    pages = {
        "/admin/": "Relay is paused",
        "/admin/sending/message/": message.recipient,
        f"/admin/sending/message/{message.pk}/change/": "550 5.7.1 <b>no</b>",
        "/admin/apikeys/apikey/": key.name,
        "/admin/guard/alertchannel/": "add",
        "/admin/guard/alertchannel/add/": "Who gets the mail",
        "/admin/apikeys/apikey/add/": "Scopes",
        f"/admin/apikeys/apikey/{key.pk}/change/": "What it sends",
        f"/admin/apikeys/apikey/{key.pk}/figures/": "Send with this key",
        "/admin/sending/template/": version.template.name,
        f"/admin/sending/template/{version.template_id}/change/": "Versions",
        "/admin/sending/route/": "To the sink",
        f"/admin/sending/route/{relay.pk}/change/": "535 5.7.8 <b>Bad password</b>",
        f"/admin/sending/route/{relay.pk}/resume/": "Resume the route",
        f"/admin/sending/message/{unknown.pk}/change/": "The answer was lost",
        f"/admin/sending/message/{unknown.pk}/mark-delivered/": "it is not sent again then",
        "/admin/sending/senderdomain/": "sender.example",
        f"/admin/sending/senderdomain/{domain.pk}/change/": "Tracking domain",
        "/admin/sending/suppression/": "gone@recipient.example",
        f"/admin/sending/suppression/{order.pk}/change/": "She asked again.",
        f"/admin/sending/suppression/{order.pk}/lift/": "only when they ask",
        "/admin/sending/suppression/add/": "pattern:",
        "/admin/sending/suppression/paste/": "One a line",
        "/admin/sending/suppression/import/": "CSV file",
        "/admin/sending/suppression/check/": "Nothing is sent",
        "/admin/sending/suppression/figures/": "Unsubscribed",
        "/admin/sending/suppression/personal/": "keyed hash",
        "/admin/sending/liftedsuppression/": "She asked again.",
        "/admin/unsubscribe/pagewording/": "Leave us?",
        "/admin/unsubscribe/pagewording/add/": "Logo",
        "/admin/auth/user/": "ann",
        "/admin/guard/alert/": "Relay",
        "/admin/apikeys/refusedaccess/": "192.0.2.1",
        "/admin/admin/logentry/": "Pasted 3 addresses.",
        "/inbox/": "Caught mail",
    }
    for path, shows in pages.items():
        name = path.strip("/").replace("/", "-").replace(str(message.pk), "one")
        name = name.replace(str(unknown.pk), "unknown")
        visitor.open(path, shows=shows, name=name)
    assert visitor.complaints == []


def test_what_happened_is_told_on_its_pages(
    browser: Browser, live_server: Any, message: Message
) -> None:
    opened, link = eventful(message)
    visitor = Visitor(browser, live_server.url)
    visitor.sign_in()
    pages = {
        "events": ("/admin/sending/event/", "550 5.1.1"),
        "timeline": (f"/admin/sending/message/{opened.pk}/change/", "not counted"),
        "links": ("/admin/tracking/trackedlink/", "shop.example"),
        "link": (f"/admin/tracking/trackedlink/{link.pk}/change/", "Who and when"),
    }
    for name, (path, shows) in pages.items():
        visitor.open(path, shows=shows, name=f"tracking-{name}")
    assert visitor.complaints == []


def eventful(message: Message) -> tuple[Message, TrackedLink]:
    """Let everything happen to a message that can."""
    now = timezone.now()
    opened = MessageFactory.create(
        profile=message.api_key.sending_profile,
        status=Status.SENT,
        handed_off_at=now - timedelta(hours=2),
        recipient="a.person.with.quite.a.long.name@department.company.example",
    )
    AttemptFactory.create(message=opened)
    for before, after in pairwise(["", Status.QUEUED, Status.SENDING, Status.SENT]):
        EventFactory.create(
            message=opened,
            kind=after,
            status_before=before,
            status_after=after,
            occurred_at=now - timedelta(hours=2),
        )
    url = "https://shop.example/" + "a-page-with-a-long-name/" * 6 + "?utm_source=mail"
    links = [
        TrackedLinkFactory.create(
            template_version=opened.template_version, position=place, url=f"{url}&link={place}"
        )
        for place in (1, 2)
    ]
    fields = {"message": opened, "at": now}
    arrived_at = now - timedelta(hours=1)
    ledger.report([FactFactory.build(message=opened, occurred_at=arrived_at)])
    record_hits(
        [
            HitFactory.build(user_agent=APPLE_PRIVACY, **fields),
            HitFactory.build(user_agent=GMAIL, ip="66.249.84.13", **fields),
            HitFactory.build(**fields),
            HitFactory.build(kind="clicked", link=links[0], **fields),
            HitFactory.build(kind="clicked", link=links[0], user_agent="curl/8", **fields),
            HitFactory.build(kind="clicked", link=links[1], user_agent="strange", **fields),
        ]
    )
    told = [
        FactFactory.build(
            message=opened, status=Status.BOUNCED, detail="550 5.1.1 <b>No such user</b> here"
        ),
        FactFactory.build(message=opened, status=Status.COMPLAINED),
        FactFactory.build(message=opened, status=None, kind="unsubscribed", detail="By one click."),
    ]
    ledger.report(told)
    return opened, links[0]


def test_a_created_key_shows_its_secret_once(
    browser: Browser, live_server: Any, message: Message
) -> None:
    visitor = Visitor(browser, live_server.url, DESKTOP)
    visitor.sign_in()
    page = visitor.page
    page.goto(f"{visitor.url}/admin/apikeys/apikey/add/")
    page.fill("input[name=name]", "Shop")
    page.click("button[name=_save], input[name=_save]")
    page.wait_for_url("**/secret/")
    assert "curl" in page.inner_text("body")
    assert "bm_" in page.content()
    page.reload()
    assert "bm_" not in page.content()
    assert visitor.complaints == []


@pytest.mark.parametrize(
    ("language", "asked", "done", "back"),
    [
        ("en-GB", "Leave us?", "You are unsubscribed", "You get the mail again"),
        ("zh-CN", "Leave us?", "您已退订", "您将重新收到邮件"),
    ],
)
def test_the_unsubscribe_page_works_without_a_script(
    browser: Browser,
    live_server: Any,
    message: Message,
    language: str,
    asked: str,
    done: str,
    back: str,
) -> None:
    context = browser.new_context(java_script_enabled=False, locale=language)
    page = context.new_page()
    foreign: list[str] = []
    page.on(
        "request",
        lambda request: (
            foreign.append(request.url)
            if not request.url.startswith((live_server.url, "data:"))
            else None
        ),
    )

    def shows(text: str, name: str) -> None:
        for width, scheme in ((360, "dark"), DESKTOP):
            on_screen(page, width, scheme)
            assert text in page.inner_text("body")
            assert fits(page)
            keep(page, f"unsubscribe-{name}-{language}-{width}")

    page.goto(f"{live_server.url}/u/{tokens.make(message.id)}")
    shows(asked, "ask")
    page.click("button")
    shows(done, "done")
    page.click("button[value=resubscribe]")
    shows(back, "back")
    page.click("button")
    page.check("input[value=too-many]")
    page.click("button[value=why]")
    shows(message.recipient[-18:], "thanks")
    assert foreign == []
    page.goto(f"{live_server.url}/u/x")
    keep(page, f"unsubscribe-unknown-{language}")
