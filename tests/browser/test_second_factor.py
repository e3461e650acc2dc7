"""A person sets up a second factor, and shows it, in a real browser."""

from __future__ import annotations

from typing import Any

import pyotp
import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser

from tests.browser.test_pages import PASSWORD, Visitor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]


def test_a_second_factor_is_set_up_and_asked_for(browser: Browser, live_server: Any) -> None:
    User.objects.create_superuser("ann", password=PASSWORD)
    visitor = Visitor(browser, live_server.url)
    visitor.sign_in()
    page = visitor.page
    path = "/admin/second-factor/set-up/"
    visitor.open(path, shows="authenticator app", name="second-factor-set-up")
    secret = page.inner_text("code")
    page.fill("input[name=password]", pyotp.TOTP(secret).now())
    page.click("text=Set up >> nth=-1")
    code = page.inner_text("li >> nth=0")
    visitor.open("/admin/second-factor/change/", shows="10 recovery", name="second-factor")
    page.context.clear_cookies()
    page.goto(f"{visitor.url}/admin/")
    page.fill("input[name=username]", "ann")
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    visitor.open("/admin/", shows="You are ann", name="second-factor-ask")
    page.fill("input[name=password]", code)
    page.click("text=Sign in >> nth=-1")
    page.wait_for_url(f"{visitor.url}/admin/")
    assert visitor.complaints == []
