"""Define how fast mail may leave: limits, warm-ups, slow-downs, and what was used of a day."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from apikeys.models import ApiKey
from sending.models.route import Route

EACH = "*"
RECOVERY_PER_MINUTE = 1.1


def validate_days(days: Any) -> None:
    """Refuse anything but a list of numbers of messages, one for each day."""
    is_list = isinstance(days, list) and days
    if not is_list or any(isinstance(one, bool) or not isinstance(one, int) for one in days):
        raise ValidationError("Give the messages of each day as whole numbers, at least one day.")
    if min(days) < 1:
        raise ValidationError("A day of a warm-up has at least one message.")


class Limit(models.Model):
    """So many messages in so much time, for the mail that fits all the fields that are given.

    `sender_domain` and `provider` may be ``*``: each of them by itself. Limits of a day count from
    midnight UTC; the others are token buckets that hold `burst` messages.
    """

    class Period(models.IntegerChoices):
        """The time that the number is for, in seconds."""

        SECOND = 1, "second"
        MINUTE = 60, "minute"
        HOUR = 3600, "hour"
        DAY = 86400, "day (UTC)"

    messages = models.PositiveIntegerField(validators=[MinValueValidator(1)])
    period = models.PositiveIntegerField(
        "in a", choices=Period.choices, default=Period.SECOND, db_default=Period.SECOND
    )
    burst = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="How many may leave at once after a pause. Empty: what one second allows. A "
        "tenth of a second's worth is the least that is kept.",
    )
    api_key = models.ForeignKey(
        ApiKey, on_delete=models.CASCADE, null=True, blank=True, verbose_name="API key"
    )
    route = models.ForeignKey(Route, on_delete=models.CASCADE, null=True, blank=True)
    sender_domain = models.CharField(
        max_length=253, blank=True, help_text="Such as example.com, or * for each by itself."
    )
    provider = models.CharField(
        max_length=253,
        blank=True,
        help_text="Of the recipients: gmail, microsoft, yahoo, or the domain of those that are "
        "with no known provider; or * for each by itself.",
    )
    is_active = models.BooleanField("active", default=True)

    class Meta:
        """A limit lets something through."""

        constraints = [
            models.CheckConstraint(name="limit_is_positive", condition=Q(messages__gte=1)),
            models.CheckConstraint(
                name="limit_burst_is_positive", condition=Q(burst=None) | Q(burst__gte=1)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.messages} a {self.unit}{self.describe_scope()}"

    @property
    def unit(self) -> str:
        """The period as a word."""
        return self.Period(self.period).label.removesuffix(" (UTC)")

    @property
    def per_second(self) -> float:
        """The limit as a rate."""
        return self.messages / self.period

    def describe_scope(self, *, sender_domain: str = "", provider: str = "") -> str:
        """Return which mail it is about, as the end of a sentence; the arguments fill a ``*``."""
        words = ""
        if self.provider:
            words += f" to {_concrete(self.provider, provider, 'provider')}"
        if self.sender_domain:
            words += f" from {_concrete(self.sender_domain, sender_domain, 'sender domain')}"
        if self.api_key_id:
            words += f" with the key {self.api_key}"
        if self.route_id:
            words += f" by the route {self.route}"
        return words


def _concrete(pattern: str, value: str, kind: str) -> str:
    return pattern if pattern != EACH else value or f"each {kind}"


class WarmUp(models.Model):
    """How many messages a day a sender domain may send to a provider while it is new there.

    `days` holds a number for each day from `start_date` (UTC) on; after the last there is no limit.
    """

    sender_domain = models.CharField(max_length=253)
    provider = models.CharField(
        max_length=253, default=EACH, help_text="Such as gmail, or * for each by itself."
    )
    start_date = models.DateField()
    days = models.JSONField("messages a day", validators=[validate_days])
    is_active = models.BooleanField("active", default=True)

    class Meta:
        """One plan for each pair."""

        verbose_name = "warm-up"
        constraints = [
            models.UniqueConstraint(
                fields=["sender_domain", "provider"], name="warmup_pair_is_unique"
            )
        ]

    def __str__(self) -> str:
        at = "each provider" if self.provider == EACH else self.provider
        return f"{self.sender_domain} at {at}"

    def day_number(self, today: date) -> int:
        """Return which day of the plan it is, from 1; below that it has not begun."""
        return (today - self.start_date).days + 1

    def allowance(self, today: date) -> int | None:
        """Return the messages of a day; None when the plan says nothing about it."""
        number = self.day_number(today)
        return self.days[number - 1] if 1 <= number <= len(self.days) else None


class SlowDown(models.Model):
    """A rate that was lowered because the other side asked for it, and that recovers by itself.

    The other side is a provider, or a route whose own server said so. `per_second` held at
    `changed_at`; it grows by a tenth each minute and ends when it reaches `full_per_second`.
    """

    provider = models.CharField(max_length=253, blank=True)
    route = models.ForeignKey(Route, on_delete=models.CASCADE, null=True)
    per_second = models.FloatField()
    full_per_second = models.FloatField()
    changed_at = models.DateTimeField()
    reply = models.CharField(max_length=500, blank=True)

    class Meta:
        """One for each other side."""

        constraints = [
            models.UniqueConstraint(
                fields=["provider"], condition=Q(route=None), name="slowdown_provider_is_unique"
            ),
            models.UniqueConstraint(fields=["route"], name="slowdown_route_is_unique"),
        ]

    def __str__(self) -> str:
        return self.provider or str(self.route)

    def rate(self, now: datetime) -> float | None:
        """Return the messages a second that it allows now; None when it is over."""
        minutes = max((now - self.changed_at).total_seconds(), 0) / 60
        if minutes > 24 * 60:
            return None
        rate = self.per_second * RECOVERY_PER_MINUTE**minutes
        return rate if rate < self.full_per_second else None


class DailyCount(models.Model):
    """How many messages a limit of a day or a warm-up has let through on one UTC day."""

    name = models.CharField(max_length=600)
    date = models.DateField()
    used = models.PositiveIntegerField(default=0, db_default=0)

    class Meta:
        """One count for each day."""

        constraints = [
            models.UniqueConstraint(fields=["name", "date"], name="dailycount_name_date")
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.date}: {self.used}"


class RecipientDomain(models.Model):
    """Who receives the mail of a domain, as its MX records said; empty: no known provider."""

    domain = models.CharField(max_length=255, primary_key=True)
    provider = models.CharField(max_length=50, blank=True)
    looked_up_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.domain}: {self.provider or 'itself'}"
