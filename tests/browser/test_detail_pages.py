"""The pages of figures of one thing each can be read by everybody, on any screen."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from playwright.sync_api import Browser

from sending.models import Message, Priority, SendingProfile, Status, new_message_id
from sending.suppressions import suppress
from stats import rollups
from stats.queries import RATE_DEFINITIONS
from tests.browser.test_pages import DESKTOP, PASSWORD, Visitor
from tests.factories.sending import (
    MessageFactory,
    RouteFactory,
    SenderDomainFactory,
    SendingProfileFactory,
)
from tests.factories.tracking import HitFactory, TrackedLinkFactory
from tests.stats.stories import answered, handed_off
from tracking.events import record_hits
from tracking.models import Visit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

MESSAGES = "/admin/sending/message/"
HTML = (
    "<html><body><h1>News</h1><p>Hello {{.API.name}}</p>"
    '<p><a href="https://shop.example/sale">To the sale</a></p>'
    '<p><a href="https://shop.example/help" style="color: #c00">Help</a></p>'
    '<img src="https://shop.example/picture.png" alt="A picture"></body></html>'
)


@pytest.fixture
def profile() -> SendingProfile:
    """Return what a key sends of which people read, clicked and missed some."""
    get_user_model().objects.create_superuser("ann", password=PASSWORD)
    RouteFactory.create(name="To the sink", is_default=True)
    SenderDomainFactory.create(domain="sender.example")
    profile: SendingProfile = SendingProfileFactory.create(
        api_key__name="The shop", template__version__html=HTML, track_opens=True, track_clicks=True
    )
    links = [
        TrackedLinkFactory.create(
            template_version=profile.template.current_version,
            position=place,
            url=f"https://shop.example/{path}",
        )
        for place, path in ((1, "sale"), (2, "help"))
    ]
    marks = {"variant": "Long", "tags": ["weekly"], "batch_id": new_message_id()}
    sent = answered(handed_off(profile, number=12, recipient="ann@recipient.example", **marks))
    for status, number in ((Status.BOUNCED, 3), (Status.DEFERRED, 2)):
        failed = handed_off(profile, number=number)
        answered(failed, status, reason=f"550 5.1.1 <b>{status}</b> of a mailbox that is gone")
    # Long before the hand-off is as good as long after it, and not in an hour that is to come.
    at = timezone.now() - timedelta(seconds=10)
    clicked = [
        HitFactory.build(message=one, kind="clicked", link=links[place % 4 == 0], at=at)
        for place, one in enumerate(sent[:8])
    ]
    record_hits([*clicked, *(HitFactory.build(message=one, at=at) for one in sent)])
    suppress("ann@recipient.example", reason="manual", note="She asked.", now=timezone.now())
    rollups.roll()
    return profile


def batch(profile: SendingProfile) -> Message:
    """Return a message of a batch that is on its way."""
    shared = {
        "profile": profile,
        "priority": Priority.BATCH,
        "batch_id": new_message_id(),
        "variant": "Short",
        "tags": ["weekly", "spring"],
    }
    statuses = [Status.SENT] * 6 + [Status.QUEUED] * 3 + [Status.BOUNCED]
    made = [MessageFactory.create(status=status, **shared) for status in statuses]
    return made[0]


def test_pages_of_one_thing_each_open_without_a_complaint(
    browser: Browser, live_server: Any, profile: SendingProfile
) -> None:
    visitor = Visitor(browser, live_server.url)
    visitor.sign_in()
    # Pages that nobody sees ask for nothing: on a slow machine one would while the next opens.
    visitor.page.add_init_script("Object.defineProperty(document, 'hidden', {value: true})")
    one = batch(profile)
    pages = {
        "failures": (f"{MESSAGES}failures/", "<b>bounced</b> of a mailbox that is gone"),
        "failures-none": (f"{MESSAGES}failures/?from=2020-01-01&to=2020-01-02", "Choose a longer"),
        "open-times": (f"{MESSAGES}open-times/", "12 of 12 (100 %)"),
        "open-times-none": (f"{MESSAGES}open-times/?from=2020-01-01&to=2020-01-02", "Nobody"),
        "providers": (f"{MESSAGES}providers/", "recipient.example"),
        "provider": (f"{MESSAGES}providers/?of=recipient.example", "12 of 15"),
        "sender-domains": (f"{MESSAGES}sender-domains/", "sender.example"),
        "sender-domain": (f"{MESSAGES}sender-domains/?of=sender.example", "Records and settings"),
        "recipient": (f"{MESSAGES}recipient/?address=ann@recipient.example", "She asked."),
        "recipient-none": (f"{MESSAGES}recipient/", "Give an address above"),
        "batch": (f"{MESSAGES}{one.pk}/batch/", "7 of 10 settled (70.0 %)"),
        "batches": (f"{MESSAGES}batches/", "The shop"),
        "batch-by-id": (f"{MESSAGES}batches/?of={one.batch_id}", "tagged"),
        "variants": (f"{MESSAGES}variants/", "Below each rate"),
        "variant": (f"{MESSAGES}variants/?of=Long", "that it is a variant of"),
        "tags": (f"{MESSAGES}tags/", "weekly"),
        "tags-none": (f"{MESSAGES}tags/?from=2020-01-01&to=2020-01-02", "up to ten"),
        "template": (f"/admin/sending/template/{profile.template_id}/figures/", "75.0 %"),
    }
    for name, (path, shows) in pages.items():
        visitor.open(path, shows=shows, name=f"detail-{name}")
    assert visitor.complaints == []


def test_heat_stands_on_the_links_of_the_mail_and_counts_nothing(
    browser: Browser, live_server: Any, profile: SendingProfile
) -> None:
    visitor = Visitor(browser, live_server.url, DESKTOP)
    visitor.sign_in()
    page = visitor.page
    before = Visit.objects.count()
    page.goto(f"{visitor.url}/admin/sending/template/{profile.template_id}/figures/")
    mail = page.frame_locator("iframe.bm-mail")
    link = mail.get_by_text("To the sale")
    written = "getComputedStyle(element, '::after').content"
    assert link.evaluate(f"element => {written}") == '"1: 75.0 %"'
    link.hover()
    exact = '"1: 6 clicks by people, from 6 messages; 0 by machines"'
    assert link.evaluate(f"element => {written}") == exact
    link.click()
    page.wait_for_load_state("networkidle")
    assert page.frames[1].url == "about:srcdoc#link-1"
    assert mail.get_by_text("To the sale").is_visible()
    assert Visit.objects.count() == before
    assert visitor.complaints == []


@pytest.mark.parametrize(("width", "keys"), [(1280, "ArrowDown"), (400, "ArrowRight")])
def test_hours_are_read_by_keyboard(
    browser: Browser, live_server: Any, profile: SendingProfile, width: int, keys: str
) -> None:
    visitor = Visitor(browser, live_server.url, (width, "dark"))
    visitor.sign_in()
    page = visitor.page
    page.goto(f"{visitor.url}{MESSAGES}open-times/")
    page.focus("#heat [data-walk]")
    tip = page.locator(".bm-tip")
    page.keyboard.press("ArrowRight" if width > 1000 else "ArrowDown")
    assert tip.inner_text().startswith("Monday, 00:00")
    page.keyboard.press(keys)
    assert tip.inner_text().startswith("Tuesday, 00:00")
    page.keyboard.press("Escape")
    assert tip.is_hidden()


def test_exact_figures_of_a_table_are_one_stop_of_the_tab_key_and_read_by_arrows(
    browser: Browser, live_server: Any, profile: SendingProfile
) -> None:
    visitor = Visitor(browser, live_server.url, DESKTOP)
    visitor.sign_in()
    page = visitor.page
    # Each that says more can have the focus, and of those of a table one has the Tab key.
    away = (
        "[...document.querySelectorAll('[data-tip]')].filter(one => one.tabIndex < 0 && "
        "!one.closest('.bm-hits, [data-walk]') && "
        "!one.closest('table, dl, ul, .bm-progress, .bm-cards')"
        "?.querySelector('[data-tip][tabindex=\"0\"]'))"
    )
    one = batch(profile)
    keys = "/admin/apikeys/apikey/"
    places = ["/admin/", keys, f"{keys}{profile.api_key_id}/figures/"]
    for path in [*places, f"{MESSAGES}providers/", f"{MESSAGES}{one.pk}/batch/"]:
        page.goto(visitor.url + path)
        assert page.evaluate(f"{away}.map(one => one.outerHTML)") == [], path
        assert page.locator("[data-tip]").count() > 0

    tip = page.locator(".bm-tip")
    page.focus("table [data-tip][tabindex='0']")
    page.keyboard.press("ArrowDown")
    assert tip.inner_text().startswith(RATE_DEFINITIONS["open"])

    page.goto(f"{visitor.url}{MESSAGES}tags/")
    page.focus(".bm-shares tbody th a")
    page.keyboard.press("Tab")
    assert tip.inner_text() == "12 sent of 12 accepted"
    page.keyboard.press("ArrowRight")
    assert "12 of 12 = 100.000 %" in tip.inner_text()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("End")
    assert "messages" in tip.inner_text()
    page.keyboard.press("Tab")
    assert not page.evaluate("document.activeElement.closest('.bm-shares tbody td')")
    page.keyboard.press("Shift+Tab")
    assert "messages" in tip.inner_text()
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    assert visitor.complaints == []


def test_side_bar_leads_to_the_figures_and_a_reason_to_its_messages(
    browser: Browser, live_server: Any, profile: SendingProfile
) -> None:
    visitor = Visitor(browser, live_server.url, DESKTOP)
    visitor.sign_in()
    page = visitor.page
    page.locator(f"a[href='{MESSAGES}failures/']").first.click()
    page.wait_for_url("**/failures/")
    page.locator("#final").get_by_role("link", name="Messages").first.click()
    page.wait_for_url("**group=**")
    assert page.locator("#group li").count() == 3
    assert visitor.complaints == []
