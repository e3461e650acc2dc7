"""Mail to the simulator's domain stays here, and what its address is called happens to it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from sending.commands import accept_batch, accept_message
from sending.delivery import deliver_due
from sending.models import Event, Message, Route, SendingProfile, Status, Suppression
from sending.transports import simulator as transport
from tests.factories.sending import RouteFactory, SenderDomainFactory, SendingProfileFactory
from tracking import drainer, simulator, spool

pytestmark = pytest.mark.django_db(transaction=True)

HTML = '<p>Hello</p><a href="https://shop.example/orders">Orders</a>'


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, settings) -> Iterator[None]:
    """Let everything happen at once, in its order, and be over at the end of the test."""
    for number, name in enumerate(
        ["DELIVERED_AFTER", "BOUNCED_AFTER", "OPENED_AFTER", "ACTED_AFTER"]
    ):
        monkeypatch.setattr(simulator, name, 0.05 * number)
    monkeypatch.setattr(transport, "SLOW_SECONDS", 0.01)
    yield
    wait(lambda: simulator._stage._thread is None)


@pytest.fixture
def profile(live_server, settings) -> SendingProfile:
    settings.PUBLIC_URL = live_server.url
    # Nothing listens there: what is not simulated would fail.
    nowhere = RouteFactory.create(port=1, is_default=True)
    return SendingProfileFactory.create(
        route=nowhere,
        template__version__html=HTML,
        has_unsubscribe_link=True,
        track_opens=True,
        track_clicks=True,
    )


def wait(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def send(profile: SendingProfile, name: str) -> Message:
    message = accept_message(key=profile.api_key, recipient=f"{name}@simulator.example", attribs={})
    deliver_due()
    return message


def kinds(message: Message) -> list[str]:
    events = Event.objects.filter(message=message).order_by("id")
    return list(events.values_list("kind", flat=True))


def status_of(message: Message) -> str:
    return Message.objects.get(pk=message.pk).status


@pytest.mark.parametrize("name", ["delivered", "Delivered+1", "slow", "anybody"])
def test_a_simulated_mail_is_delivered(profile, name) -> None:
    message = send(profile, name)
    wait(lambda: status_of(message) == Status.DELIVERED)
    assert message.attempts.get().route.kind == Route.Kind.SIMULATOR


@pytest.mark.parametrize("return_path_domain", ["", "bounce.example.com"])
def test_bounce_comes_back_as_a_report_and_ends_the_address(profile, return_path_domain) -> None:
    SenderDomainFactory.create(domain="sender.example", return_path_domain=return_path_domain)
    message = send(profile, "bounce+7")
    wait(lambda: status_of(message) == Status.BOUNCED)
    assert "Simulated: no such user" in Message.objects.get(pk=message.pk).reason
    assert Suppression.objects.get().address == "bounce+7@simulator.example"


def test_complaint_comes_after_the_delivery(profile) -> None:
    message = send(profile, "complaint")
    wait(lambda: status_of(message) == Status.COMPLAINED)
    assert kinds(message)[-2:] == ["delivered", "complained"]
    assert Suppression.objects.get().reason == Suppression.Reason.COMPLAINT


def test_defer_is_told_to_come_again_and_then_taken(profile, monkeypatch) -> None:
    message = send(profile, "defer")
    assert status_of(message) == Status.DEFERRED
    monkeypatch.setattr(transport, "DEFERRED_FOR", timedelta(0))
    Message.objects.filter(pk=message.pk).update(next_attempt_at=timezone.now())
    deliver_due()
    wait(lambda: status_of(message) == Status.DELIVERED)


def test_open_and_click_ask_for_what_stands_in_the_mail(profile) -> None:
    message = send(profile, "click")
    wait(lambda: status_of(message) == Status.DELIVERED)

    def told() -> set[str]:
        drainer.drain(spool.directory())
        return set(kinds(message))

    wait(lambda: told() >= {"opened", "clicked"})


def test_unsubscribe_presses_the_button_of_the_mail_program(profile) -> None:
    message = send(profile, "unsubscribe")
    wait(lambda: "unsubscribed" in kinds(message))
    assert Suppression.objects.get().reason == Suppression.Reason.UNSUBSCRIBED


def test_mail_to_others_takes_its_own_route(profile) -> None:
    accept_batch(key=profile.api_key, recipients=["ann@recipient.example", "ann@simulator.example"])
    deliver_due()
    statuses = dict(Message.objects.values_list("recipient", "status"))
    assert statuses["ann@recipient.example"] == Status.DEFERRED
    assert statuses["ann@simulator.example"] in (Status.SENT, Status.DELIVERED)


def test_without_the_setting_nothing_is_simulated(profile, settings) -> None:
    settings.SIMULATOR_DOMAIN = ""
    message = send(profile, "bounce")
    assert status_of(message) == Status.DEFERRED
