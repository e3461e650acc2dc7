"""A start looks whether recipients can reach the pixel, says what is wrong, and goes on."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import InterfaceError

from tests.factories.sending import SenderDomainFactory
from tests.sink import free_port
from tracking import reach

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "DELAYS_SECONDS", (0, 0))


def look() -> None:
    """Look as a start does, and wait for the end of it."""
    reach.look_soon()
    for thread in threading.enumerate():
        if thread.name == "reach":
            thread.join()


def test_nothing_is_said_when_the_pixel_can_be_had(
    live_server: Any, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.PUBLIC_URL = live_server.url
    look()
    assert "Tracked links" not in caplog.text


def test_each_address_that_does_not_work_is_named(
    live_server: Any, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.PUBLIC_URL = live_server.url
    SenderDomainFactory.create(domain="shop.example", tracking_domain="links.shop.invalid")
    look()
    assert "Tracked links may not work (tracking domain of shop.example)" in caplog.text
    assert "links.shop.invalid" in caplog.text
    assert "(PUBLIC_URL)" not in caplog.text


def test_an_address_where_nobody_listens_is_told_once(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.PUBLIC_URL = f"http://127.0.0.1:{free_port()}"
    look()
    assert caplog.text.count("cannot be fetched from this machine") == 1
    assert "manage.py check_tracking" in caplog.text


def test_a_database_that_is_away_is_no_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away() -> dict[str, str]:
        raise InterfaceError("the connection is closed")

    monkeypatch.setattr(reach, "addresses", away)
    look()
    assert "is not known: the connection is closed" in caplog.text
