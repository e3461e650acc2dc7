"""From where a key may be used, and for what, over HTTP."""

from typing import Any

import pytest
from django.test import Client

from apikeys.models import ApiKey
from apikeys.permissions import scope
from tests.factories.apikeys import key_with_secret

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.apikeys.urls")]


def get(client: Client, secret: str, **extra: Any):
    return client.get("/guarded/", headers={"X-API-Key": secret}, **extra)


def test_key_without_networks_is_used_from_everywhere(client: Client) -> None:
    _, secret = key_with_secret()

    for address in ("203.0.113.7", "2001:db8::5", ""):
        assert get(client, secret, REMOTE_ADDR=address).status_code == 200


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("203.0.113.7", 200),
        ("::ffff:203.0.113.7", 200),
        ("2001:db8::5", 200),
        ("203.0.114.7", 403),
        ("2001:db9::5", 403),
        ("", 403),
    ],
)
def test_key_with_networks_is_used_from_them_only(
    client: Client, address: str, status: int
) -> None:
    _, secret = key_with_secret(networks=["203.0.113.0/24", "2001:db8::/32"])

    response = get(client, secret, REMOTE_ADDR=address)

    assert response.status_code == status
    if status == 403:
        assert response.json()["code"] == 1002
        assert response.json()["msg"].startswith("IP not allowed")


def test_forged_header_does_not_open_a_network(client: Client, settings) -> None:
    _, secret = key_with_secret(networks=["203.0.113.0/24"])
    forged = {"HTTP_X_FORWARDED_FOR": "203.0.113.7", "HTTP_X_REAL_IP": "203.0.113.7"}

    settings.TRUSTED_PROXY_COUNT = 0
    assert get(client, secret, REMOTE_ADDR="198.51.100.1", **forged).status_code == 403
    settings.TRUSTED_PROXY_COUNT = 2
    assert get(client, secret, REMOTE_ADDR="198.51.100.1", **forged).status_code == 403


def test_edited_networks_count_with_the_next_request(client: Client) -> None:
    key, secret = key_with_secret()
    assert get(client, secret, REMOTE_ADDR="198.51.100.1").status_code == 200

    ApiKey.objects.filter(pk=key.pk).update(networks=["203.0.113.0/24"])

    assert get(client, secret, REMOTE_ADDR="198.51.100.1").status_code == 403


@pytest.mark.parametrize("stored", [["nonsense"], "203.0.113.0/24", {}, [None], 0])
def test_unreadable_networks_let_nobody_in(client: Client, stored: object) -> None:
    _, secret = key_with_secret(networks=stored)

    assert get(client, secret, REMOTE_ADDR="203.0.113.7").status_code == 403


def test_use_is_noted_when_let_in_only(client: Client) -> None:
    key, secret = key_with_secret(networks=["203.0.113.0/24"])

    get(client, secret, REMOTE_ADDR="198.51.100.1")
    key.refresh_from_db()
    assert key.last_used_at is None

    get(client, secret, REMOTE_ADDR="203.0.113.7")
    key.refresh_from_db()
    assert key.last_used_address == "203.0.113.7"


def test_key_without_the_scope_is_refused_by_name(client: Client) -> None:
    _, secret = key_with_secret(scopes=["read", "manage"])

    response = get(client, secret)

    assert response.status_code == 403
    assert response.json()["code"] == 1001
    assert '"send"' in response.json()["msg"]


def test_scope_with_a_typo_is_refused_at_import() -> None:
    with pytest.raises(ValueError, match="sned"):
        scope("sned")
