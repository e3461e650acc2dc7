"""What an operator does with routes in the browser; what is secret stays so."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from sending import outages
from sending.models import Route
from tests.factories.sending import AttemptFactory, RouteFactory
from tests.sink import Sink, free_port

pytestmark = pytest.mark.django_db

LIST = "/admin/sending/route/"
POSTMARK = "anymail.backends.postmark.EmailBackend"


def form(**fields: Any) -> dict[str, Any]:
    times = {
        "connect_timeout_seconds": 2,
        "command_timeout_seconds": 5,
        "data_timeout_seconds": 5,
    }
    shown = {"name": "Relay", "kind": "smtp", "is_active": "on", "connections": 4}
    smtp = {"host": "127.0.0.1", "port": 2525, "tls": "none", "username": "", "password": ""}
    return {**shown, **smtp, **times, "backend": "", "options": "", **fields}


def page(route: Route, name: str = "change") -> str:
    return f"{LIST}{route.pk}/{name}/"


def errors_of(response: Any) -> dict[str, list[str]]:
    return response.context["adminform"].form.errors


def test_new_route_is_stored_with_its_secret(admin_client: Client) -> None:
    admin_client.post(f"{LIST}add/", form(username="shop", password=" s3cret "))
    assert Route.objects.get().password == " s3cret "


def test_new_default_takes_over_without_an_error(admin_client: Client) -> None:
    RouteFactory.create(is_default=True)
    response = admin_client.post(f"{LIST}add/", form(is_default="on"))
    assert response.status_code == 302
    assert Route.objects.get(is_default=True).name == "Relay"


def test_secrets_are_never_shown_and_stay_when_they_are_left_empty(admin_client: Client) -> None:
    smtp = RouteFactory.create(name="Relay", password="hunter2secret", username="shop")
    provider = RouteFactory.create(
        kind="anymail", backend=POSTMARK, options='{"server_token": "hunter2secret"}', host=""
    )
    for route in (smtp, provider):
        assert "hunter2secret" not in admin_client.get(page(route)).content.decode()
    assert "Stored: server_token." in admin_client.get(page(provider)).content.decode()

    assert admin_client.post(page(smtp), form(username="shop2")).status_code == 302
    asked = form(name="P", kind="anymail", backend=POSTMARK, host="")
    assert admin_client.post(page(provider), asked).status_code == 302
    smtp.refresh_from_db()
    provider.refresh_from_db()
    assert (smtp.username, smtp.password) == ("shop2", "hunter2secret")
    assert provider.options == '{"server_token": "hunter2secret"}'


def test_stored_password_does_not_go_to_another_server(admin_client: Client) -> None:
    route = RouteFactory.create(password="hunter2secret")
    response = admin_client.post(page(route), form(host="thief.example"))
    assert "Give the password again" in errors_of(response)["password"][0]
    route.refresh_from_db()
    assert route.host == "127.0.0.1"
    assert admin_client.post(page(route), form(host="b.example", password="new")).status_code == 302
    route.refresh_from_db()
    assert (route.host, route.password) == ("b.example", "new")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"host": ""}, "host"),
        ({"kind": "anymail", "backend": "no.such.Backend"}, "backend"),
        ({"kind": "anymail", "backend": POSTMARK, "options": "[]"}, "options"),
        ({"port": 70000}, "port"),
    ],
)
def test_route_that_cannot_work_is_explained_at_the_field(
    admin_client: Client, fields: dict[str, Any], field: str
) -> None:
    response = admin_client.post(f"{LIST}add/", form(**fields))
    assert list(errors_of(response)) == [field]
    assert not Route.objects.exists()


def test_clear_text_over_a_network_is_warned_of(admin_client: Client) -> None:
    response = admin_client.post(f"{LIST}add/", form(host="relay.example.com"), follow=True)
    assert "travel to relay.example.com in clear" in response.content.decode()


def test_check_shows_what_was_found_and_needs_a_post(
    admin_client: Client, route: Route, sink: Sink
) -> None:
    assert admin_client.get(page(route, "check")).status_code == 200
    assert sink.connections == 0
    response = admin_client.post(page(route, "check"))
    assert sink.connections == 1
    assert all(finding.ok for finding in response.context["findings"])


def test_check_of_a_server_that_is_not_there_says_so(admin_client: Client) -> None:
    route = RouteFactory.create(port=free_port())
    shown = admin_client.post(page(route, "check")).content.decode()
    assert "not ok" in shown


def test_used_route_cannot_be_deleted_and_an_unused_one_can(admin_client: Client) -> None:
    attempt = AttemptFactory.create()
    used, unused = attempt.route, RouteFactory.create()
    assert admin_client.post(page(used, "delete"), {"post": "yes"}).status_code == 403
    admin_client.post(page(unused, "delete"), {"post": "yes"})
    assert not Route.objects.filter(pk=unused.pk).exists()


def test_who_may_only_look_sees_no_secret_and_checks_nothing() -> None:
    route = RouteFactory.create(password="hunter2secret", options="hunter2secret")
    person = User.objects.create_user("viewer", is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="view_route"))
    client = Client()
    client.force_login(person)
    shown = client.get(page(route))
    assert shown.status_code == 200
    assert "hunter2secret" not in shown.content.decode()
    assert client.post(page(route, "check")).status_code == 403
    assert client.post(page(route), form()).status_code == 403


def test_replaced_default_is_named(admin_client: Client) -> None:
    RouteFactory.create(name="Old relay", is_default=True)
    response = admin_client.post(f"{LIST}add/", form(is_default="on"), follow=True)
    shown = response.content.decode()
    assert "Relay is the default route now, instead of Old relay." in shown
    assert "no active default route" not in shown


@pytest.mark.parametrize("switched_off", [{"is_active": ""}, {"is_default": ""}])
def test_switching_off_the_last_way_out_is_warned_of(
    admin_client: Client, switched_off: dict[str, str]
) -> None:
    route = RouteFactory.create(name="Relay", is_default=True)
    kept = form(is_default="on")
    shown = admin_client.post(page(route), kept, follow=True).content.decode()
    assert "no active default route" not in shown
    shown = admin_client.post(page(route), {**kept, **switched_off}, follow=True).content.decode()
    assert "There is no active default route now" in shown


def test_deleting_the_last_way_out_is_warned_of(admin_client: Client) -> None:
    route, other = RouteFactory.create(is_default=True), RouteFactory.create()
    shown = admin_client.post(page(other, "delete"), {"post": "yes"}, follow=True)
    assert "no active default route" not in shown.content.decode()
    chosen = {"action": "delete_selected", "_selected_action": [route.pk], "post": "yes"}
    shown = admin_client.post(LIST, chosen, follow=True)
    assert "There is no active default route now" in shown.content.decode()


def paused(**fields: Any) -> Route:
    route = RouteFactory.create(name="Relay", **fields)
    outages.pause(route, reason="535 5.7.8 <b>Bad password</b>", now=timezone.now())
    return route


def test_paused_route_says_so_in_the_words_of_its_next_hop(admin_client: Client) -> None:
    route = paused()
    assert "paused" in admin_client.get(LIST).content.decode()
    for address in (page(route), "/admin/"):
        shown = admin_client.get(address).content.decode()
        assert "Relay is paused" in shown
        assert "535 5.7.8 &lt;b&gt;Bad password&lt;/b&gt;" in shown


def test_route_that_is_down_says_so_until_it_is_tried_again(admin_client: Client) -> None:
    route = RouteFactory.create(name="Relay")
    outages.mark_down(route, reason="connection refused", now=timezone.now())
    for address in (page(route), "/admin/"):
        shown = admin_client.get(address).content.decode()
        assert "Relay could not be used" in shown
        assert "connection refused" in shown
    Route.objects.update(down_until=timezone.now())
    assert "could not be used" not in admin_client.get("/admin/").content.decode()


def test_paused_route_is_resumed_after_a_question(admin_client: Client) -> None:
    route = paused()
    assert "Resume the route" in admin_client.get(page(route, "resume")).content.decode()
    route.refresh_from_db()
    assert route.is_paused()
    admin_client.post(page(route, "resume"))
    route.refresh_from_db()
    assert not route.is_paused()
    assert LogEntry.objects.get().change_message == "Resumed."
    assert "resume/" not in admin_client.get(page(route)).content.decode()
    assert admin_client.post(page(route, "resume")).status_code == 403


def test_route_that_is_saved_is_tried_anew(admin_client: Client) -> None:
    route = paused()
    shown = admin_client.post(page(route), form(), follow=True).content.decode()
    assert "with these settings it is tried anew" in shown
    route.refresh_from_db()
    assert not route.is_paused()


def test_check_that_succeeds_ends_a_pause_and_one_that_fails_does_not(
    admin_client: Client, sink: Sink
) -> None:
    route = paused(port=free_port())
    admin_client.post(page(route, "check"))
    route.refresh_from_db()
    assert route.is_paused()
    Route.objects.update(port=sink.port)
    shown = admin_client.post(page(route, "check")).content.decode()
    assert "it is used again now" in shown
    route.refresh_from_db()
    assert not route.is_paused()


def test_who_may_only_look_resumes_nothing() -> None:
    route = paused()
    person = User.objects.create_user("viewer", is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="view_route"))
    client = Client()
    client.force_login(person)
    assert "Relay is paused" in client.get(page(route)).content.decode()
    assert client.post(page(route, "resume")).status_code == 403
    route.refresh_from_db()
    assert route.is_paused()
