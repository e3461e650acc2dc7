"""Which key a request comes with, over HTTP."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apikeys.commands import pause_key, revoke_key
from apikeys.models import ApiKey, ApiKeySecret
from tests.factories.apikeys import key_with_secret

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.apikeys.urls")]

UNKNOWN = "bm_abcdefghij_" + "a" * 43


def get(client: Client, secret: str | None, **extra: Any):
    headers = {} if secret is None else {"X-API-Key": secret}
    return client.get("/guarded/", headers=headers, **extra)


def test_good_key_is_let_in_as_itself(client: Client) -> None:
    _, secret = key_with_secret(name="Shop")

    response = get(client, secret)

    assert response.status_code == 200
    assert response.json() == {"key": "Shop", "anonymous": True}


def test_all_bad_keys_get_the_same_answer(client: Client) -> None:
    _, good = key_with_secret()
    _, disabled = key_with_secret(is_active=False)
    _, expired = key_with_secret(expires_at=timezone.now() - timedelta(seconds=1))
    revoked_key, revoked = key_with_secret()
    revoke_key(key=revoked_key, now=timezone.now())
    wrong = good[:-1] + ("A" if good[-1] != "A" else "B")
    bad = [None, "", "x", UNKNOWN, wrong, disabled, expired, revoked]

    answers = {(r.status_code, r.content) for r in (get(client, secret) for secret in bad)}

    assert len(answers) == 1
    status, body = answers.pop()
    assert status == 401
    assert b'"code":1001' in body
    assert b'"Invalid API key"' in body


@pytest.mark.parametrize(
    "secret", ["é" * 57, "x" * 10_000, "bm_abc\0", "bm_abcdefghij_" + "\xff" * 43, "' OR 1=1 --"]
)
def test_malformed_key_is_refused_without_asking_the_database(
    client: Client, secret: str, django_assert_num_queries
) -> None:
    with django_assert_num_queries(0):
        response = get(client, secret)

    assert response.status_code == 401


def test_key_is_found_with_one_query(client: Client, django_assert_num_queries) -> None:
    _, secret = key_with_secret(last_used_at=timezone.now())

    with django_assert_num_queries(1):
        assert get(client, secret).status_code == 200


def test_unknown_prefix_costs_the_same_query(client: Client, django_assert_num_queries) -> None:
    with django_assert_num_queries(1):
        assert get(client, UNKNOWN).status_code == 401


def test_revocation_is_effective_with_the_next_request(client: Client) -> None:
    key, secret = key_with_secret()
    assert get(client, secret).status_code == 200

    revoke_key(key=key, now=timezone.now())

    assert get(client, secret).status_code == 401


def test_paused_key_says_why(client: Client) -> None:
    key, secret = key_with_secret()
    pause_key(key=key, reason="Bounces are at 9 %.")

    response = get(client, secret)

    assert response.status_code == 403
    assert response.json()["code"] == 1005
    assert "paused: Bounces are at 9 %. Ask" in response.json()["msg"]


def test_address_with_many_bad_keys_is_told_to_wait(client: Client, settings) -> None:
    settings.FAILED_AUTH_PER_MINUTE = 3

    statuses = [get(client, UNKNOWN).status_code for _ in range(5)]
    response = get(client, UNKNOWN)

    assert statuses == [401, 401, 401, 429, 429]
    assert response.json()["code"] == 1006
    assert 1 <= int(response["Retry-After"]) <= 20
    assert response["RateLimit-Limit"] == "3"


def test_neighbour_with_a_good_key_is_not_locked_out(client: Client, settings) -> None:
    settings.FAILED_AUTH_PER_MINUTE = 1
    _, secret = key_with_secret()
    assert [get(client, UNKNOWN).status_code for _ in range(2)] == [401, 429]

    assert get(client, secret).status_code == 200


def test_bad_keys_are_counted_per_address(client: Client, settings) -> None:
    settings.FAILED_AUTH_PER_MINUTE = 1
    assert [get(client, UNKNOWN).status_code for _ in range(2)] == [401, 429]

    assert get(client, UNKNOWN, REMOTE_ADDR="203.0.113.9").status_code == 401


def test_changing_addresses_within_an_ipv6_network_does_not_help(client: Client, settings) -> None:
    settings.FAILED_AUTH_PER_MINUTE = 1

    statuses = [
        get(client, UNKNOWN, REMOTE_ADDR=address).status_code
        for address in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")
    ]

    assert statuses == [401, 429, 401]


def test_bad_keys_over_a_unix_socket_are_counted_too(client: Client, settings) -> None:
    settings.FAILED_AUTH_PER_MINUTE = 1

    statuses = [get(client, UNKNOWN, REMOTE_ADDR="").status_code for _ in range(2)]

    assert statuses == [401, 429]


def test_log_names_the_reason_and_never_the_secret(client: Client, caplog) -> None:
    key, secret = key_with_secret()
    ApiKey.objects.filter(pk=key.pk).update(is_active=False)

    with caplog.at_level(logging.DEBUG):
        get(client, secret)

    assert f"disabled ({ApiKeySecret.objects.get().prefix})" in caplog.text
    assert secret not in caplog.text
    assert secret[14:] not in caplog.text
