"""A route is stored only if mail could leave by it, and tells what is wrong with it."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from sending.commands import check_route, save_route
from sending.models import Route
from tests.factories.sending import RouteFactory
from tests.sink import Sink, free_port

pytestmark = pytest.mark.django_db


def test_new_default_takes_over_from_the_one_before() -> None:
    before = RouteFactory.create(is_default=True)
    after = RouteFactory.build(is_default=True)
    assert save_route(route=after) == before
    assert list(Route.objects.filter(is_default=True)) == [after]
    before.refresh_from_db()
    assert not before.is_default


def test_default_that_is_saved_again_stays_it() -> None:
    route = RouteFactory.create(is_default=True)
    assert save_route(route=route) is None
    assert Route.objects.get().is_default


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"host": " "}, "host"),
        ({"kind": "anymail"}, "backend"),
        ({"kind": "anymail", "backend": "no.such.Backend"}, "backend"),
        ({"kind": "anymail", "backend": "pathlib.Path"}, "backend"),
        (
            {
                "kind": "anymail",
                "backend": "anymail.backends.postmark.EmailBackend",
                "options": "server_token=x",
            },
            "options",
        ),
        (
            {
                "kind": "anymail",
                "backend": "anymail.backends.postmark.EmailBackend",
                "options": '["x"]',
            },
            "options",
        ),
    ],
)
def test_route_that_cannot_work_is_refused_at_the_field_at_fault(
    fields: dict[str, str], field: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        save_route(route=RouteFactory.build(**fields))
    assert list(refused.value.message_dict) == [field]
    assert not Route.objects.exists()


def test_refused_default_leaves_the_one_before() -> None:
    RouteFactory.create(is_default=True)
    with pytest.raises(ValidationError):
        save_route(route=RouteFactory.build(is_default=True, host=""))
    assert Route.objects.filter(is_default=True).count() == 1


def test_check_of_a_server_that_is_there_finds_what_it_offers(route: Route, sink: Sink) -> None:
    findings = check_route(route=route)
    assert all(finding.ok for finding in findings)
    assert any("SIZE" in finding.text or "8BITMIME" in finding.text for finding in findings)
    assert sink.envelopes == []


def test_check_of_a_server_that_is_not_there_says_so() -> None:
    route = RouteFactory.create(port=free_port())
    assert [finding.ok for finding in check_route(route=route)] == [False]


def test_check_of_a_provider_with_wrong_options_says_so() -> None:
    route = RouteFactory.create(
        kind="anymail", backend="anymail.backends.postmark.EmailBackend", options='{"token": 1}'
    )
    findings = check_route(route=route)
    assert not findings[0].ok
    assert "postmark" in findings[0].text.lower()


def test_clear_text_over_a_network_is_warned_of_and_over_a_loopback_not() -> None:
    from_afar = RouteFactory.create(host="192.0.2.1", connect_timeout_seconds=1)
    assert any("in clear" in finding.text for finding in check_route(route=from_afar))
    near = RouteFactory.create(host="127.0.0.1", port=free_port())
    assert not any("in clear" in finding.text for finding in check_route(route=near))
