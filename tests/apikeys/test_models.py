"""What the database itself refuses."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from apikeys.commands import issue_secret, rotate_key
from apikeys.models import ApiKey, ApiKeySecret, validate_networks, validate_scopes
from tests.factories.apikeys import ApiKeyFactory, key_with_secret

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"rate_per_second": 0},
        {"quota_per_day": 0},
        {"revoked_at": timezone.now(), "is_active": True},
    ],
)
def test_database_refuses_an_impossible_key(fields: dict) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiKeyFactory.create(**fields)


def test_database_refuses_a_second_newest_secret() -> None:
    key, _ = key_with_secret()

    with pytest.raises(IntegrityError), transaction.atomic():
        issue_secret(key=key, now=timezone.now())


def test_secret_is_stored_nowhere() -> None:
    key, secret = key_with_secret()
    random_part = secret.split("_", 2)[2]

    stored = [*ApiKey.objects.values_list(), *ApiKeySecret.objects.values_list()]

    assert random_part not in str(stored)
    assert random_part not in f"{key} {key.secrets.get()} {key.secrets.get()!r}"


@pytest.mark.parametrize("scopes", [[], "send", ["send", "send"], ["admin"], None, [["send"]]])
def test_scopes_are_a_list_of_known_words(scopes: object) -> None:
    with pytest.raises(ValidationError):
        validate_scopes(scopes)


@pytest.mark.parametrize(
    "networks", ["10.0.0.0/8", None, [5], ["10.0.0.1"], ["10.0.0.5/8"], ["0.0.0.0/0"], {}]
)
def test_networks_are_a_list_in_the_stored_form(networks: object) -> None:
    with pytest.raises(ValidationError):
        validate_networks(networks)


def test_key_is_found_by_name_prefix_and_id() -> None:
    key, secret = key_with_secret(name="Shop")
    rotate_key(key=key, grace=timedelta(hours=1), now=timezone.now())
    key_with_secret(name="Other")

    for text in ("Shop", secret[:13], str(key.pk)):
        assert ApiKey.objects.matching(text).get() == key
    assert not ApiKey.objects.matching("Nobody").exists()
