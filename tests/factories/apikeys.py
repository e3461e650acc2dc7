"""Make API keys for tests."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from factory.declarations import Sequence
from factory.django import DjangoModelFactory

from apikeys.commands import issue_secret
from apikeys.models import ApiKey


class ApiKeyFactory(DjangoModelFactory[ApiKey]):
    """A usable key without limits. It has no secret: see `key_with_secret`."""

    class Meta:
        model = ApiKey

    name = Sequence(lambda number: f"Key {number}")


def key_with_secret(**fields: Any) -> tuple[ApiKey, str]:
    """Store a key and return it with the secret that a caller sends in X-API-Key."""
    key = ApiKeyFactory.create(**fields)
    return key, issue_secret(key=key, now=timezone.now())
