"""What an operator meets in the browser."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from apikeys.authentication import identify
from apikeys.commands import revoke_key
from apikeys.errors import InvalidKey
from apikeys.models import ApiKey
from tests.factories.apikeys import key_with_secret

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.apikeys.urls")]

LIST = "/admin/apikeys/apikey/"
SECRET = re.compile(r"bm_[a-z0-9]{10}_[A-Za-z0-9_-]{43}")


@pytest.fixture(autouse=True)
def without_the_sidebar_of_the_project(settings) -> None:
    settings.UNFOLD = {}


def form(**fields: object) -> dict[str, object]:
    shown = {"name": "Shop", "scopes": ["send"], "networks": "", "rate_per_second": ""}
    return {**shown, "quota_per_day": "", "expires_at_0": "", "expires_at_1": "", **fields}


def page(key: ApiKey, name: str) -> str:
    return f"{LIST}{key.pk}/{name}/"


def test_new_key_shows_its_secret_once(admin_client: Client, settings) -> None:
    settings.PUBLIC_URL = "https://mail.example.com"

    response = admin_client.post(f"{LIST}add/", form(networks="10.0.0.1\n\n 2001:DB8::/32 "))
    key = ApiKey.objects.get()
    assert response.status_code == 302
    assert response["Location"] == page(key, "secret")
    shown = admin_client.get(response["Location"])
    again = admin_client.get(response["Location"])

    secrets = set(SECRET.findall(shown.content.decode()))
    assert len(secrets) == 1
    assert identify(secrets.pop(), now=timezone.now()) == key
    assert (
        "curl -X POST 'https://mail.example.com/api/batch_mail/api/send'" in shown.content.decode()
    )
    assert "no-store" in shown["Cache-Control"]
    assert not SECRET.search(again.content.decode())
    assert "not shown again" in again.content.decode()
    assert key.networks == ["10.0.0.1/32", "2001:db8::/32"]
    assert key.created_by == User.objects.get()


def test_secret_page_belongs_to_the_session_that_made_the_key(
    admin_client: Client, client: Client
) -> None:
    shop_page = admin_client.post(f"{LIST}add/", form())["Location"]
    other = User.objects.create_superuser("other")
    client.force_login(other)

    assert not SECRET.search(client.get(shop_page).content.decode())
    assert SECRET.search(admin_client.get(shop_page).content.decode())


def test_keys_made_in_two_windows_are_both_shown(admin_client: Client) -> None:
    pages = [admin_client.post(f"{LIST}add/", form())["Location"] for _ in range(2)]

    shown = [SECRET.findall(admin_client.get(url).content.decode())[0] for url in pages]

    assert len(set(shown)) == 2


def test_every_bad_network_is_named_by_its_line(admin_client: Client) -> None:
    response = admin_client.post(f"{LIST}add/", form(networks="10.0.0.1\n10.0.0.5/8\nshop"))

    text = response.content.decode()
    assert response.status_code == 200
    assert "Line 2:" in text
    assert "Line 3:" in text
    assert "10.0.0.5/8\nshop" in text  # What was typed stays in the field.
    assert not ApiKey.objects.exists()


def test_key_needs_a_scope(admin_client: Client) -> None:
    response = admin_client.post(f"{LIST}add/", form(scopes=[]))

    assert "Choose what the key may do" in response.content.decode()


def test_edited_key_keeps_what_was_not_edited(admin_client: Client) -> None:
    key, _ = key_with_secret(name="Shop", networks=["10.0.0.1/32"], rate_per_second=5)
    edit = form(networks="10.0.0.1/32\n10.0.0.2", rate_per_second="5", is_active="on")

    response = admin_client.post(page(key, "change"), {**edit, "paused_reason": "Holiday"})

    assert response.status_code == 302
    key.refresh_from_db()
    assert key.networks == ["10.0.0.1/32", "10.0.0.2/32"]
    assert (key.rate_per_second, key.paused_reason, key.is_active) == (5, "Holiday", True)


def test_reason_that_is_emptied_resumes_the_key(admin_client: Client) -> None:
    key, _ = key_with_secret(name="Shop", paused_reason="Bounces")

    admin_client.post(page(key, "change"), form(is_active="on", paused_reason=""))

    key.refresh_from_db()
    assert key.paused_reason == ""
    assert key.resumed_at is not None


def test_form_opened_before_a_revocation_does_not_undo_it(admin_client: Client) -> None:
    key, secret = key_with_secret(name="Shop")
    revoke_key(key=key, now=timezone.now())

    admin_client.post(page(key, "change"), form(name="Shop 2", is_active="on"))

    key.refresh_from_db()
    assert key.revoked_at
    assert not key.is_active
    with pytest.raises(InvalidKey):
        identify(secret, now=timezone.now())


def test_list_finds_a_key_by_name_and_prefix(admin_client: Client) -> None:
    _, secret = key_with_secret(name="Shop")
    key_with_secret(name="Newsletter")

    for text in ("sho", secret[:13]):
        found = admin_client.get(LIST, {"q": text}).content.decode()
        assert "Shop" in found
        assert "Newsletter" not in found


def test_list_costs_the_same_for_one_key_and_for_many(
    admin_client: Client, django_assert_max_num_queries
) -> None:
    for _ in range(20):
        key_with_secret()

    with django_assert_max_num_queries(8):
        response = admin_client.get(LIST)

    assert response.status_code == 200


def test_rotation_is_confirmed_and_shows_the_new_secret(admin_client: Client) -> None:
    key, old = key_with_secret(name="Shop")
    asked = admin_client.get(page(key, "rotate"))
    assert asked.status_code == 200
    assert key.secrets.count() == 1

    response = admin_client.post(page(key, "rotate"), {"grace_hours": "0"})
    new = SECRET.findall(admin_client.get(response["Location"]).content.decode())[0]

    assert identify(new, now=timezone.now()) == key
    with pytest.raises(InvalidKey):
        identify(old, now=timezone.now())
    assert "Rotated" in LogEntry.objects.get().change_message
    assert not SECRET.search(LogEntry.objects.get().change_message)


def test_rotation_with_an_unknown_grace_changes_nothing(admin_client: Client) -> None:
    key, _ = key_with_secret()

    response = admin_client.post(page(key, "rotate"), {"grace_hours": "9999"})

    assert response.status_code == 200
    assert key.secrets.count() == 1


def test_revocation_is_confirmed(admin_client: Client) -> None:
    key, secret = key_with_secret()
    assert admin_client.get(page(key, "revoke")).status_code == 200
    assert identify(secret, now=timezone.now()) == key

    response = admin_client.post(page(key, "revoke"), follow=True)

    assert "is revoked" in response.content.decode()
    with pytest.raises(InvalidKey):
        identify(secret, now=timezone.now())
    assert admin_client.post(page(key, "rotate"), {"grace_hours": "0"}).status_code == 403


def test_forged_post_is_refused(admin_user: User) -> None:
    key, secret = key_with_secret()
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)

    for name in ("rotate", "revoke"):
        assert client.post(page(key, name), {"grace_hours": "0"}).status_code == 403
    assert identify(secret, now=timezone.now()) == key


def test_operator_who_may_only_look_changes_nothing(client: Client) -> None:
    key, secret = key_with_secret()
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_apikey"))
    client.force_login(viewer)

    assert client.get(page(key, "change")).status_code == 200
    assert client.get(page(key, "secret")).status_code == 403
    for name in ("rotate", "revoke"):
        assert client.post(page(key, name), {"grace_hours": "0"}).status_code == 403
    assert identify(secret, now=timezone.now()) == key


def test_keys_cannot_be_deleted(admin_client: Client) -> None:
    key, _ = key_with_secret()

    assert admin_client.post(page(key, "delete"), {"post": "yes"}).status_code == 403
    assert ApiKey.objects.filter(pk=key.pk).exists()


@pytest.mark.parametrize("name", ["secret", "rotate", "revoke"])
def test_pages_of_an_unknown_key_are_not_an_error_of_ours(admin_client: Client, name: str) -> None:
    response = admin_client.get(f"{LIST}nonsense/{name}/")

    assert response.status_code in (403, 404)


def test_every_scope_can_be_chosen(admin_client: Client) -> None:
    shown = admin_client.get(f"{LIST}add/").content.decode()
    for scope in ("send", "read", "manage"):
        assert f'value="{scope}"' in shown
    admin_client.post(f"{LIST}add/", form(scopes=["read", "manage"]))
    assert ApiKey.objects.get().scopes == ["read", "manage"]
