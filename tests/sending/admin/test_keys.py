"""What a key sends is edited on the key's own page."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apikeys.models import ApiKey
from sending.commands.routes import set_fallback_routes
from sending.models import SendingProfile
from sending.routes import route_of
from tests.factories.apikeys import ApiKeyFactory
from tests.factories.sending import (
    RouteFactory,
    SenderDomainFactory,
    SendingProfileFactory,
    TemplateFactory,
)

pytestmark = pytest.mark.django_db

LIST = "/admin/apikeys/apikey/"


def form(*, profile: SendingProfile | None = None, **sends: Any) -> dict[str, Any]:
    key = {"name": "Shop", "scopes": ["send"], "networks": "", "is_active": "on"}
    limits = {"rate_per_second": "", "quota_per_day": "", "expires_at_0": "", "expires_at_1": ""}
    management = {"TOTAL_FORMS": 1, "INITIAL_FORMS": int(profile is not None)}
    asked = {
        "api_key": profile.pk if profile else "",
        "sender_address": "shop@sender.example",
        "stream": "transactional",
        "ambiguity_policy": "retry",
        "extra_senders": "",
        "heeds_unsubscribes": "on",
        "track_opens": "on",
        "track_clicks": "on",
        **sends,
    }
    return {
        **key,
        **limits,
        "paused_reason": "",
        **{f"sending_profile-{name}": value for name, value in management.items()},
        **{f"sending_profile-0-{name}": value for name, value in asked.items()},
    }


def test_key_is_made_together_with_what_it_sends(admin_client: Client) -> None:
    template = TemplateFactory.create()
    domain = SenderDomainFactory.create()
    asked = form(
        template=template.pk,
        sender_domains=[domain.pk],
        extra_senders="a@x.example\r\n\r\n b@X.example ",
    )
    response = admin_client.post(f"{LIST}add/", asked)
    assert response.status_code == 302
    profile = ApiKey.objects.get().sending_profile
    assert (profile.template, profile.sender_address) == (template, "shop@sender.example")
    assert profile.extra_senders == ["a@x.example", "b@x.example"]
    assert list(profile.sender_domains.all()) == [domain]


def test_key_that_sends_nothing_yet_can_be_told_later_what_to_send(admin_client: Client) -> None:
    admin_client.post(f"{LIST}add/", form(sender_address=""))
    key = ApiKey.objects.get()
    assert not SendingProfile.objects.exists()

    asked = form(api_key=key.pk, template=TemplateFactory.create().pk)
    assert admin_client.post(f"{LIST}{key.pk}/change/", asked).status_code == 302
    assert SendingProfile.objects.get().sender_address == "shop@sender.example"


def test_tracking_is_on_for_a_new_key_and_can_be_switched_off(admin_client: Client) -> None:
    asked = form(template=TemplateFactory.create().pk)
    del asked["sending_profile-0-track_clicks"]  # how a browser sends an empty box
    admin_client.post(f"{LIST}add/", asked)
    profile = SendingProfile.objects.get()
    assert (profile.track_opens, profile.track_clicks) == (True, False)
    assert "Track opens" in admin_client.get(f"{LIST}{profile.pk}/change/").text


def test_what_a_key_sends_can_be_edited(admin_client: Client) -> None:
    profile = SendingProfileFactory.create(extra_senders=["a@x.example", "b@x.example"])
    shown = admin_client.get(f"{LIST}{profile.pk}/change/").content.decode()
    assert "a@x.example\nb@x.example" in shown

    asked = form(profile=profile, sender_name="New", reply_to="help@sender.example")
    response = admin_client.post(f"{LIST}{profile.pk}/change/", asked)
    assert response.status_code == 302
    profile.refresh_from_db()
    assert (profile.sender_name, profile.reply_to) == ("New", "help@sender.example")
    assert profile.extra_senders == []


@pytest.mark.parametrize(
    ("field", "wrong", "told"),
    [
        ("sender_address", "shop", "has no @"),
        ("reply_to", "a@b.example, c@d.example", "exactly one"),
        ("extra_senders", "a@b.example\nnonsense", "Line 2:"),
        ("subject", "Hi {{.API.name", "Line 1"),
    ],
)
def test_wrong_value_is_explained_at_its_field(
    admin_client: Client, field: str, wrong: str, told: str
) -> None:
    response = admin_client.post(f"{LIST}add/", form(**{field: wrong}))
    formset = response.context["inline_admin_formsets"][0].formset
    assert told in formset.forms[0].errors[field][0]
    assert wrong.splitlines()[-1] in response.content.decode()
    assert not ApiKey.objects.exists()


def test_template_without_a_wording_cannot_be_sent(admin_client: Client) -> None:
    template = TemplateFactory.create(version=False)
    response = admin_client.post(f"{LIST}add/", form(template=template.pk))
    assert "no version yet" in response.content.decode()


def test_list_says_what_each_key_sends_at_a_constant_cost(
    admin_client: Client, django_assert_max_num_queries
) -> None:
    for _ in range(20):
        SendingProfileFactory.create()
    ApiKeyFactory.create(name="Idle")
    with django_assert_max_num_queries(8):
        shown = admin_client.get(LIST).content.decode()
    assert "Idle" in shown
    assert "none: sends nothing" in shown


def test_new_key_is_told_what_it_lacks_before_it_can_send(admin_client: Client) -> None:
    asked = form(sender_address="")
    shown = admin_client.post(f"{LIST}add/", asked, follow=True).content.decode()
    assert "Still missing before the key can send" in shown
    assert all(lack in shown for lack in ("No template:", "No sender:", "No route:"))


def test_new_key_that_lacks_only_its_enabled_template_is_told_that(admin_client: Client) -> None:
    RouteFactory.create(is_default=True)
    template = TemplateFactory.create(name="Order", is_active=False)
    asked = form(template=template.pk)
    shown = admin_client.post(f"{LIST}add/", asked, follow=True).content.decode()
    assert "The template Order is disabled" in shown
    assert "No sender:" not in shown
    assert "No route:" not in shown


def test_new_key_that_can_send_is_told_nothing_more(admin_client: Client) -> None:
    RouteFactory.create(is_default=True)
    asked = form(template=TemplateFactory.create().pk)
    shown = admin_client.post(f"{LIST}add/", asked, follow=True).content.decode()
    assert "Still missing" not in shown
    assert "Send a first message:" in shown


def further(profile: SendingProfile) -> list[tuple[int, str]]:
    rows = profile.api_key.fallback_routes.order_by("position")
    return list(rows.values_list("position", "route__name"))


def test_further_routes_are_kept_in_their_order_and_shown_again(admin_client: Client) -> None:
    first, second, third = (RouteFactory.create(name=name) for name in ("A", "B", "C"))
    profile = SendingProfileFactory.create(route=first)
    page = f"{LIST}{profile.pk}/change/"
    named = {"route": first.pk, "second_route": third.pk, "third_route": second.pk}
    asked = form(profile=profile, template=profile.template_id, **named)
    assert admin_client.post(page, asked).status_code == 302
    assert further(profile) == [(2, "C"), (3, "B")]
    shown = admin_client.get(page).content.decode()
    assert f'<option value="{third.pk}" selected>C</option>' in shown

    asked = form(profile=profile, template=profile.template_id, **{**named, "second_route": ""})
    admin_client.post(page, asked)
    assert further(profile) == [(2, "B")]


def test_route_that_is_named_twice_is_refused(admin_client: Client) -> None:
    first = RouteFactory.create(name="A")
    profile = SendingProfileFactory.create(route=first)
    asked = form(profile=profile, route=first.pk, second_route=first.pk)
    response = admin_client.post(f"{LIST}{profile.pk}/change/", asked)
    assert "A is named before already" in response.content.decode()
    assert further(profile) == []


def test_key_without_a_first_route_has_a_way_out_by_a_further_one(admin_client: Client) -> None:
    profile = SendingProfileFactory.create(route=None)
    assert route_of(profile) is None
    route = RouteFactory.create()
    set_fallback_routes(key=profile.api_key, routes=[route])
    assert route_of(profile) == route
