"""A message takes another route when its own cannot be used, and never so that it leaves twice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from apikeys.models import ApiKey
from sending import outages
from sending.commands import accept_batch, accept_message, resume_route
from sending.commands.routes import set_fallback_routes
from sending.delivery import deliver_due
from sending.models import Attempt, Message, Route, SendingProfile, Status
from tests.factories.sending import RouteFactory, SendingProfileFactory
from tests.sending.transports.certificate import make_certificate
from tests.sending.transports.script import Peer, Script, ScriptedServer
from tests.sending.transports.sink import Sink as SecuredSink
from tests.sink import Sink, free_port

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

ANN = "ann@recipient.example"
Serve = Callable[..., ScriptedServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers that do as their scripts say, one script for each connection."""
    servers: list[ScriptedServer] = []

    def start(script: Script, *, times: int = 1) -> ScriptedServer:
        servers.append(ScriptedServer(*[script] * times))
        return servers[-1]

    yield start
    for server in servers:
        server.finish()


def refuse_password(peer: Peer) -> None:
    peer.greet("AUTH PLAIN")
    peer.hear("AUTH")
    peer.say("535 5.7.8 Bad password <b>")
    peer.hear_goodbye()


def lose_the_answer(peer: Peer) -> None:
    peer.greet("PIPELINING")
    peer.accept_envelope()
    peer.hear_body()


def hang_up_at_mail(peer: Peer) -> None:
    peer.greet("PIPELINING")
    peer.hear("MAIL")


def route_to(port: int, name: str = "First", **fields: object) -> Route:
    return RouteFactory.create(name=name, port=port, connections=1, **fields)


def with_password(port: int) -> Route:
    return route_to(port, username="shop", password="wrong")


def key_with(first: Route, *further: Route) -> ApiKey:
    key = SendingProfileFactory.create(route=first).api_key
    set_fallback_routes(key=key, routes=further)
    return key


def make_due() -> None:
    """Let the time of every waiting message come."""
    Message.objects.filter(status=Status.DEFERRED).update(next_attempt_at=Now())


def tries() -> list[tuple[str, str]]:
    rows = Attempt.objects.order_by("id").values_list("route__name", "outcome")
    return [(name, str(outcome)) for name, outcome in rows]


@pytest.fixture
def second(sink: Sink) -> Route:
    """A route that works."""
    return RouteFactory.create(name="Second", port=sink.port)


def test_a_dead_route_is_left_for_the_next_one_at_once(second: Route, sink: Sink) -> None:
    accept_message(key=key_with(route_to(free_port()), second), recipient=ANN)
    assert deliver_due() == 2
    assert sink.recipients == [ANN]
    assert tries() == [("First", "deferred"), ("Second", "sent")]
    statuses = Message.objects.get().events.order_by("id").values_list("status_after", flat=True)
    assert list(statuses) == ["queued", "sending", "deferred", "sending", "sent"]


def test_while_the_first_route_is_down_new_mail_does_not_try_it(second: Route, sink: Sink) -> None:
    key = key_with(route_to(free_port()), second)
    accept_message(key=key, recipient=ANN)
    deliver_due()
    accept_message(key=key, recipient="bob@recipient.example")
    deliver_due()
    assert tries() == [("First", "deferred"), ("Second", "sent"), ("Second", "sent")]


def test_the_first_route_is_taken_again_when_it_works_again(second: Route, sink: Sink) -> None:
    first = route_to(free_port())
    key = key_with(first, second)
    accept_message(key=key, recipient=ANN)
    deliver_due()
    Route.objects.filter(pk=first.pk).update(port=sink.port, down_until=timezone.now())
    accept_message(key=key, recipient=ANN)
    deliver_due()
    assert tries()[-1] == ("First", "sent")
    first.refresh_from_db()
    assert first.failure_count == 0


def test_when_every_route_is_down_each_is_tried_once_and_the_usual_wait_begins(
    second: Route, sink: Sink
) -> None:
    Route.objects.filter(pk=second.pk).update(port=free_port())
    accept_message(key=key_with(route_to(free_port()), second), recipient=ANN)
    assert deliver_due() == 2
    message = Message.objects.get()
    assert message.status == Status.DEFERRED
    assert message.next_attempt_at > timezone.now() + timedelta(seconds=50)

    make_due()
    assert deliver_due() == 1
    assert tries()[-1] == ("First", "deferred")
    assert Message.objects.get().next_attempt_at > timezone.now() + timedelta(minutes=4)


def test_a_lost_answer_is_never_followed_by_another_route(
    second: Route, sink: Sink, serve: Serve
) -> None:
    server = serve(lose_the_answer, times=2)
    first = route_to(server.port)
    accept_message(key=key_with(first, second), recipient=ANN)
    assert deliver_due() == 1
    assert Message.objects.get().status == Status.DEFERRED

    # Not even when its route is known to be down by then.
    Route.objects.filter(pk=first.pk).update(down_until=timezone.now() + timedelta(hours=1))
    make_due()
    assert deliver_due() == 1
    assert sink.recipients == []
    assert [name for name, _ in tries()] == ["First", "First"]


def test_a_message_that_may_have_arrived_waits_when_its_route_has_died_since(
    second: Route, sink: Sink, serve: Serve
) -> None:
    server = serve(lose_the_answer)
    first = route_to(server.port)
    accept_message(key=key_with(first, second), recipient=ANN)
    deliver_due()
    Route.objects.filter(pk=first.pk).update(port=free_port())
    make_due()
    assert deliver_due() == 1
    assert sink.recipients == []
    assert Message.objects.get().next_attempt_at > timezone.now() + timedelta(minutes=1)


def test_a_held_message_stays_unknown_whatever_routes_there_are(
    second: Route, sink: Sink, serve: Serve
) -> None:
    key = key_with(route_to(serve(lose_the_answer).port), second)
    SendingProfile.objects.update(ambiguity_policy="hold")
    accept_message(key=key, recipient=ANN)
    deliver_due()
    assert Message.objects.get().status == Status.UNKNOWN
    assert sink.recipients == []


def test_a_server_that_hangs_up_before_the_dot_is_left_for_the_next_route(
    second: Route, sink: Sink, serve: Serve
) -> None:
    accept_message(key=key_with(route_to(serve(hang_up_at_mail).port), second), recipient=ANN)
    deliver_due()
    assert tries() == [("First", "deferred"), ("Second", "sent")]


def test_a_refused_recipient_waits_for_the_same_route(second: Route, sink: Sink) -> None:
    busy = Sink()
    busy.start()
    busy.replies[ANN] = "451 4.3.0 Try again later"
    try:
        accept_message(key=key_with(route_to(busy.port), second), recipient=ANN)
        assert deliver_due() == 1
    finally:
        busy.stop()
    assert sink.recipients == []
    assert Message.objects.get().reason == "451 4.3.0 Try again later"
    assert not Route.objects.filter(down_until__isnull=False).exists()


def test_what_waits_behind_a_dead_connection_takes_the_next_route_at_once(
    second: Route, sink: Sink, serve: Serve
) -> None:
    def never_greet(peer: Peer) -> None:
        peer.hear()

    first = route_to(serve(never_greet).port, command_timeout_seconds=1)
    recipients = [f"r{number}@recipient.example" for number in range(20)]
    accept_batch(key=key_with(first, second), recipients=recipients)
    deliver_due()
    assert sorted(sink.recipients) == sorted(recipients)
    # The connection may take one or two more before the run hears of the first.
    assert tries().count(("First", "deferred")) < 5


def test_refused_credentials_pause_the_route_and_are_logged_once(
    second: Route, sink: Sink, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    first = with_password(serve(refuse_password, times=3).port)
    key = key_with(first, second)
    with caplog.at_level(logging.ERROR):
        accept_message(key=key, recipient=ANN)
        deliver_due()
        Route.objects.filter(pk=first.pk).update(paused_until=timezone.now())
        accept_message(key=key, recipient=ANN)
        deliver_due()
    assert sink.recipients == [ANN, ANN]
    first.refresh_from_db()
    assert first.paused_reason == "535 5.7.8 Bad password <b>"
    assert first.paused_until > timezone.now() + timedelta(seconds=100)
    told = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert len(told) == 1
    assert "The route First is paused" in told[0]


def test_mail_of_a_paused_route_waits_with_its_reason_and_tries_nothing(
    serve: Serve, sink: Sink
) -> None:
    key = key_with(with_password(serve(refuse_password, times=9).port))
    accept_batch(key=key, recipients=[f"r{number}@recipient.example" for number in range(9)])
    deliver_due()
    tried = tries()
    make_due()
    deliver_due()
    assert tries() == tried
    waiting = Message.objects.all()
    assert {message.status for message in waiting} == {Status.DEFERRED}
    assert {message.reason for message in waiting} == {
        "The route First is paused: 535 5.7.8 Bad password <b>"
    }
    paused_until = Route.objects.get().paused_until
    assert all(message.next_attempt_at > paused_until for message in waiting)


def test_one_message_tries_a_paused_route_in_time_and_frees_the_others(
    serve: Serve, sink: Sink
) -> None:
    first = with_password(serve(refuse_password, times=9).port)
    key = key_with(first)
    recipients = [f"r{number}@recipient.example" for number in range(5)]
    accept_batch(key=key, recipients=recipients)
    deliver_due()
    tried = len(tries())
    Route.objects.filter(pk=first.pk).update(paused_until=timezone.now())
    make_due()
    deliver_due()
    assert len(tries()) == tried + 1

    # The server lets us in again, which nobody told us.
    Route.objects.filter(pk=first.pk).update(
        paused_until=timezone.now(), port=sink.port, username=""
    )
    make_due()
    deliver_due()
    assert sorted(sink.recipients) == sorted(recipients)
    first.refresh_from_db()
    assert (first.is_paused(), first.failure_count) == (False, 0)


def test_a_resumed_route_sends_what_waited_for_it(serve: Serve, sink: Sink) -> None:
    first = with_password(serve(refuse_password).port)
    accept_message(key=key_with(first), recipient=ANN)
    deliver_due()
    make_due()
    deliver_due()
    Route.objects.filter(pk=first.pk).update(port=sink.port, username="")
    assert resume_route(route=first)
    deliver_due()
    assert sink.recipients == [ANN]
    assert not resume_route(route=first)


def test_a_server_that_cannot_be_reached_is_not_paused(sink: Sink) -> None:
    first = route_to(free_port())
    accept_message(key=key_with(first), recipient=ANN)
    deliver_due()
    first.refresh_from_db()
    assert not first.is_paused()
    assert first.is_down(now=timezone.now())


def test_an_untrusted_certificate_pauses_the_route(tmp_path: Path) -> None:
    secured = SecuredSink(implicit_tls=make_certificate(tmp_path).server_context)
    secured.start()
    try:
        first = route_to(secured.port, tls="tls")
        accept_message(key=key_with(first), recipient=ANN)
        deliver_due()
    finally:
        secured.stop()
    first.refresh_from_db()
    assert "certificate" in first.paused_reason
    assert Message.objects.get().status == Status.DEFERRED


def test_an_outage_lasts_longer_each_time_in_a_row() -> None:
    first = route_to(free_port())
    now = timezone.now()
    lasted = []
    for _ in range(6):
        outages.mark_down(first, reason="refused", now=now)
        outages.mark_down(first, reason="refused again", now=now)
        first.refresh_from_db()
        lasted.append((first.down_until - now).total_seconds())
        now = first.down_until or now
    assert lasted == [30, 60, 120, 300, 300, 300]
    assert first.down_reason == "refused"
