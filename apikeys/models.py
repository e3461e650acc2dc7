"""Store who may ask: keys, their secrets, and how much each key sent today."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone

from apikeys.addresses import canonical_networks


class Scope(models.TextChoices):
    """What a key may be used for."""

    SEND = "send", "Send messages"
    READ = "read", "Look at suppressions and check addresses"
    MANAGE = "manage", "Add and lift suppressions"


def default_scopes() -> list[str]:
    """Return the scopes of a key that was created without saying more."""
    return [Scope.SEND.value]


def validate_scopes(scopes: Any) -> None:
    """Refuse anything but a list of known scopes, each once and at least one."""
    known = ", ".join(Scope.values)
    if not isinstance(scopes, list) or not scopes:
        raise ValidationError(f"Give a list with at least one scope of: {known}.")
    unknown = [scope for scope in scopes if scope not in Scope.values]
    if unknown:
        raise ValidationError(f"{unknown[0]!r} is not a scope. The scopes are: {known}.")
    if len(set(scopes)) != len(scopes):
        raise ValidationError("A scope is listed twice.")


def validate_networks(networks: Any) -> None:
    """Refuse anything but a list of networks in their stored form."""
    if not isinstance(networks, list) or not all(isinstance(item, str) for item in networks):
        raise ValidationError("Give a list of networks, such as 203.0.113.0/24.")
    try:
        canonical = canonical_networks(networks)
    except ValueError as error:
        raise ValidationError(str(error)) from error
    if canonical != networks:
        raise ValidationError(f"Write the networks as: {', '.join(canonical)}.")


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    """Reads of keys."""

    def matching(self, text: str) -> ApiKeyQuerySet:
        """Return the keys with this name, this id, or a secret with this prefix."""
        found = models.Q(name=text) | models.Q(secrets__prefix=text)
        with suppress(ValueError):  # Not an id: a name or a prefix then.
            found |= models.Q(pk=uuid.UUID(text))
        return self.filter(found).distinct()

    def rotatable(self, *, now: datetime) -> ApiKeyQuerySet:
        """Return the keys that are neither revoked nor expired."""
        not_expired = models.Q(expires_at=None) | models.Q(expires_at__gt=now)
        return self.filter(not_expired, revoked_at=None)


class ApiKey(models.Model):
    """One caller of the API, and the limits it lives within. Its secrets are rows of their own."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100, help_text="Who uses this key, for example: Shop.")
    is_active = models.BooleanField(
        "active", default=True, help_text="Switch off to refuse the key for a while."
    )
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="Refused from then on. Empty: never."
    )
    scopes = models.JSONField(default=default_scopes, validators=[validate_scopes])
    networks = models.JSONField(default=list, blank=True, validators=[validate_networks])
    rate_per_second = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Requests a second. Empty: no limit.",
    )
    quota_per_day = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Messages a day (UTC). Empty: no limit.",
    )
    paused_reason = models.TextField(
        blank=True,
        default="",
        help_text="While this says something, the key is refused and its caller reads it. "
        "Empty it to resume.",
    )
    # What it sent before a person resumed it is not held against it again.
    resumed_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_address = models.GenericIPAddressField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        # There are tens of keys, not millions: only the look-up of a secret needs an index.
        constraints: ClassVar = [
            models.CheckConstraint(
                name="apikey_revoked_is_inactive",
                condition=models.Q(revoked_at=None) | models.Q(is_active=False),
                violation_error_message="A revoked key cannot be active.",
            ),
            models.CheckConstraint(
                name="apikey_rate_is_positive",
                condition=models.Q(rate_per_second=None) | models.Q(rate_per_second__gte=1),
            ),
            models.CheckConstraint(
                name="apikey_quota_is_positive",
                condition=models.Q(quota_per_day=None) | models.Q(quota_per_day__gte=1),
            ),
            models.CheckConstraint(name="apikey_has_a_name", condition=~models.Q(name="")),
        ]

    def __str__(self) -> str:
        return self.name

    def why_refused(self, *, now: datetime) -> str:
        """Return why the key is not usable, in a word for the log; empty when it is."""
        if self.revoked_at is not None:
            return "revoked"
        if not self.is_active:
            return "disabled"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return ""


class ApiKeySecret(models.Model):
    """One secret of a key: the newest, or an older one that is in its grace or over."""

    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="secrets")
    prefix = models.CharField(max_length=13, unique=True)  # Authentication looks it up here.
    digest = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)  # None for the newest one only.
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "secret of an API key"
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="apikeysecret_one_newest",
                fields=["key"],
                condition=models.Q(expires_at=None, revoked_at=None),
            ),
        ]

    def __str__(self) -> str:
        return self.prefix

    def why_refused(self, *, now: datetime) -> str:
        """Return why the secret is not usable, in a word for the log; empty when it is."""
        if self.revoked_at is not None:
            return "secret revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "secret rotated"
        return ""


class DailyUsage(models.Model):
    """How many messages a key with a quota has had accepted in one UTC day."""

    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="daily_usage")
    date = models.DateField()
    accepted = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = "daily usage"
        verbose_name_plural = "daily usage"
        constraints: ClassVar = [
            models.UniqueConstraint(name="dailyusage_key_date", fields=["key", "date"]),
        ]

    def __str__(self) -> str:
        return f"{self.key_id} {self.date}: {self.accepted}"


class KeyNetwork(models.Model):
    """A network that a key was used from. `apikeys.arrivals` alone writes it."""

    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="known_networks")
    network = models.CharField(max_length=43)
    first_at = models.DateTimeField()

    class Meta:
        verbose_name = "known network of an API key"
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(name="keynetwork_is_one", fields=["key", "network"]),
        ]

    def __str__(self) -> str:
        return self.network


class RefusedAccess(models.Model):
    """How often requests of one kind were refused in five minutes. `apikeys.refusals` writes it.

    `address` is the address of the caller, an IPv6 one as its /64; empty for all those beyond the
    number that is told apart. `key` is None when the request named none that exists.
    """

    bucket_at = models.DateTimeField()
    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, null=True, related_name="refusals")
    address = models.CharField(max_length=43, blank=True)
    reason = models.CharField(max_length=40)
    count = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = "refused access"
        verbose_name_plural = "refused access"
        default_permissions = ("view",)
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="refused_with_key_is_one",
                fields=["bucket_at", "key", "address", "reason"],
                condition=models.Q(key__isnull=False),
            ),
            models.UniqueConstraint(
                name="refused_without_key_is_one",
                fields=["bucket_at", "address", "reason"],
                condition=models.Q(key=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reason}: {self.count}"


def live_prefixes(secrets: Iterable[ApiKeySecret], *, now: datetime) -> list[str]:
    """Return the prefixes of the usable secrets, the newest first."""
    live = [secret for secret in secrets if not secret.why_refused(now=now)]
    return [secret.prefix for secret in sorted(live, key=lambda s: s.created_at, reverse=True)]
