"""The pages of figures can be read by everybody, with a mouse or without, and stay up to date."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from playwright.sync_api import Browser

from apikeys.models import ApiKey
from sending.models import SendingProfile, Status
from stats import rollups
from tests.browser.test_pages import DESKTOP, PASSWORD, Visitor
from tests.factories.sending import RouteFactory, SendingProfileFactory
from tests.factories.tracking import HitFactory
from tests.stats.stories import accepted, answered, handed_off
from tracking.events import record_hits

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

FIGURES = "/admin/apikeys/apikey/{}/figures/"


@pytest.fixture
def profile() -> SendingProfile:
    """Return what a key sends whose mail had every outcome; somebody can sign in."""
    get_user_model().objects.create_superuser("ann", password=PASSWORD)
    RouteFactory.create(name="To the sink", is_default=True)
    profile: SendingProfile = SendingProfileFactory.create(
        api_key__name="The shop of a company with a long name", track_opens=True
    )
    ApiKey.objects.filter(pk=profile.api_key_id).update(last_used_at=timezone.now())
    sent = answered(handed_off(profile, number=30))
    for status, number in ((Status.BOUNCED, 2), (Status.REJECTED, 1), (Status.DEFERRED, 2)):
        answered(handed_off(profile, number=number), status, reason=f"550 5.1.1 <b>{status}</b>")
    accepted(profile, number=4)
    record_hits([HitFactory.build(message=message) for message in sent[:9]])
    rollups.roll()
    return profile


def test_figures_are_told_on_their_pages(
    browser: Browser, live_server: Any, profile: SendingProfile
) -> None:
    visitor = Visitor(browser, live_server.url)
    visitor.sign_in()
    key = FIGURES.format(profile.api_key_id)
    pages = {
        "home": ("/admin/?span=24h", "30 of 33"),
        "home-days": ("/admin/?span=90d", "Nothing needs a hand"),
        "keys": ("/admin/apikeys/apikey/", "90.9 %"),
        "key": (key, "550 5.1.1 <b>bounced</b>"),
    }
    for name, (path, shows) in pages.items():
        visitor.open(path, shows=shows, name=f"figures-{name}")
    assert visitor.complaints == []


def test_chart_and_cards_are_read_by_keyboard(
    browser: Browser, live_server: Any, profile: SendingProfile
) -> None:
    visitor = Visitor(browser, live_server.url, DESKTOP)
    visitor.sign_in()
    page = visitor.page
    page.goto(f"{visitor.url}/admin/?span=24h")
    page.focus("[data-card=delivery]")
    tip = page.locator(".bm-tip")
    assert "30 of 33 = 90.909 %" in tip.inner_text()
    page.focus("#outcomes .bm-hits")
    page.keyboard.press("End")
    assert "Delivered: 30" in tip.inner_text()
    page.keyboard.press("ArrowLeft")
    assert "no messages" in tip.inner_text()
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    page.hover("#outcomes .bm-hits span:last-child")
    assert "Bounced or refused: 3" in tip.inner_text()
    assert visitor.complaints == []


def test_open_page_follows_without_a_reload_and_rests_while_nobody_looks(
    browser: Browser, live_server: Any, profile: SendingProfile
) -> None:
    visitor = Visitor(browser, live_server.url, DESKTOP)
    visitor.sign_in()
    page = visitor.page
    page.clock.install()
    page.goto(f"{visitor.url}/admin/?span=24h")
    page.evaluate("window.isTheSame = true")
    page.click("#outcomes summary")
    page.evaluate("document.activeElement.blur()")
    answered(handed_off(profile, number=4))
    rollups.roll()

    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    look = "document.dispatchEvent(new Event('visibilitychange'))"
    hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
    page.evaluate(hide % "true" + look)
    page.clock.fast_forward(60_000)
    assert asked == []

    page.evaluate(hide % "false" + look)
    page.get_by_text("34 of 37").first.wait_for()
    assert len(asked) == 1
    assert page.evaluate("window.isTheSame")
    assert page.locator("#outcomes details[open]").count() == 1
    zone = timezone.localtime().tzname()
    assert re.fullmatch(
        rf"Live, updated at \d\d:\d\d:\d\d {zone}", page.inner_text("[data-live-state]")
    )

    # Mail left just now, so that the page asks again soon; not while somebody reads a figure.
    page.hover("[data-card=sent]")
    page.clock.fast_forward(3000)
    page.get_by_text("Paused while you point at a figure").wait_for()
    assert len(asked) == 1
    with page.expect_response("**/admin/?span=24h"):
        page.mouse.move(0, 0)
        page.clock.fast_forward(3000)
    page.get_by_text("Live, updated at").wait_for()
    assert visitor.complaints == []


def test_page_says_that_it_is_old_when_the_server_is_away_or_the_person_signed_out(
    browser: Browser, live_server: Any, profile: SendingProfile
) -> None:
    visitor = Visitor(browser, live_server.url, DESKTOP)
    visitor.sign_in()
    page = visitor.page
    page.clock.install()
    page.goto(f"{visitor.url}/admin/?span=24h")
    state = page.locator("[data-live-state]")
    page.route("**/admin/?span=24h", lambda route: route.abort())
    page.clock.fast_forward(11_000)
    state.get_by_text("Not up to date since").wait_for()
    page.unroute_all()
    page.context.clear_cookies()
    page.clock.fast_forward(11_000)
    state.get_by_text("Signed out").wait_for()
