"""Requests a second, over HTTP."""

import pytest
from django.test import Client

from tests.factories.apikeys import key_with_secret

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.apikeys.urls")]


def get(client: Client, secret: str):
    return client.get("/guarded/", headers={"X-API-Key": secret})


def test_key_over_its_rate_is_told_when_to_come_back(client: Client) -> None:
    _, secret = key_with_secret(rate_per_second=1)

    first, second = get(client, secret), get(client, secret)

    assert (first.status_code, second.status_code) == (200, 429)
    assert second.json()["code"] == 1006
    assert "1 a second" in second.json()["msg"]
    limits = [second[f"RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset")]
    assert [second["Retry-After"], *limits] == ["1", "1", "0", "1"]


def test_rate_of_one_key_does_not_slow_another(client: Client) -> None:
    _, busy = key_with_secret(rate_per_second=1)
    _, other = key_with_secret(rate_per_second=1)
    assert [get(client, busy).status_code for _ in range(2)] == [200, 429]

    assert get(client, other).status_code == 200


def test_key_without_a_rate_is_not_limited(client: Client) -> None:
    _, secret = key_with_secret()

    assert {get(client, secret).status_code for _ in range(20)} == {200}


@pytest.mark.integration
def test_rate_holds_when_redis_dies(client: Client, settings, redis_server) -> None:
    settings.REDIS_URL = redis_server.url
    _, secret = key_with_secret(rate_per_second=1)
    assert [get(client, secret).status_code for _ in range(2)] == [200, 429]

    redis_server.stop()

    assert [get(client, secret).status_code for _ in range(3)] == [200, 429, 429]
