"""Define what a role was given, what is alarming, who is told, and what people sign in with."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from apikeys.models import ApiKey
from sending.encryption import EncryptedTextField
from sending.models import Route

NEEDED = "This kind of channel needs it."


class Role(models.TextChoices):
    """What a person is here for; the names of groups."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    OWNER = "owner"


class RoleGrant(models.Model):
    """A permission that a role was given once. `guard.roles` alone writes it."""

    role = models.CharField(max_length=10, choices=Role.choices)
    permission = models.CharField(max_length=200)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["role", "permission"], name="role_grant_is_one")
        ]

    def __str__(self) -> str:
        return f"{self.role}: {self.permission}"


class Alert(models.Model):
    """Something that a person should look at. `guard.alerts` alone writes it.

    `subject` is what it is about, in the words of its kind: while an alert of a kind and subject is
    open, the same thing again counts there (`count`, `last_at`) instead of making another.
    """

    class Kind(models.TextChoices):
        """What is alarming."""

        NEW_NETWORK = "new network", "A key is used from a new network"
        REFUSALS = "refusals", "Many requests are refused"
        SPIKE = "spike", "A key sends far more than usual"
        KEY_PAUSED = "key paused", "A key was paused"
        LIMIT = "limit", "A limit holds mail back"
        ROUTE = "route paused", "A route is paused"
        POLICY = "policy block", "A domain refuses our mail by its policy"

    kind = models.CharField(max_length=12, choices=Kind.choices)
    subject = models.CharField(max_length=600)
    text = models.TextField()
    api_key = models.ForeignKey(
        ApiKey, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    count = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        """One open alert about one thing."""

        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=Q(acknowledged_at=None),
                name="alert_is_open_once",
            )
        ]
        indexes = [models.Index(fields=["-last_at"], name="alert_newest")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.subject}"


class AlertChannel(models.Model):
    """Where alerts are sent to: a mailbox, or a program that takes them as JSON."""

    class Kind(models.TextChoices):
        """How they are sent."""

        MAIL = "mail", "Mail"
        WEBHOOK = "webhook", "Webhook (POST of JSON)"

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.MAIL)
    is_active = models.BooleanField(default=True)
    recipient = models.EmailField(
        max_length=320, blank=True, help_text="Who gets the mail. A group's address is best."
    )
    sender = models.EmailField(
        max_length=320, blank=True, help_text="Whom the mail is from; the route must accept it."
    )
    route = models.ForeignKey(
        Route,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        help_text="The way out for alerts: better not the one that they may be about. "
        "Empty: the default route.",
    )
    url = models.URLField("URL", max_length=500, blank=True, help_text="What the POST goes to.")
    secret = EncryptedTextField(
        blank=True,
        help_text="Signs each POST: X-Signature is sha256= and the hex HMAC of the body.",
    )

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Raise ValidationError for what is missing, by field."""
        needed = ("recipient", "sender") if self.kind == self.Kind.MAIL else ("url",)
        missing = {name: NEEDED for name in needed if not getattr(self, name)}
        if missing:
            raise ValidationError(missing)
        if self.kind == self.Kind.WEBHOOK and not self.url.startswith(("https://", "http://")):
            raise ValidationError({"url": "The address must begin with https:// or http://."})


class AlertNotice(models.Model):
    """One alert on its way to one channel. `guard.notices` alone writes it."""

    class Status(models.TextChoices):
        """What became of it."""

        WAITING = "waiting"
        SENT = "sent"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="notices")
    channel = models.ForeignKey(AlertChannel, on_delete=models.CASCADE, related_name="notices")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.WAITING)
    tries = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField()
    answer = models.CharField(max_length=500, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["alert", "channel"], name="alert_is_told_once")
        ]
        indexes = [
            models.Index(
                fields=["next_try_at"], name="notice_waiting", condition=Q(status="waiting")
            )
        ]

    def __str__(self) -> str:
        return f"{self.alert} to {self.channel}: {self.status}"


class SecondFactor(models.Model):
    """The app in which a person's one-time passwords come (RFC 6238).

    `guard.second_factor` alone writes it. It counts from `confirmed_at` on; `last_step` is the time
    step of the last password that was taken, so that none is taken twice.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="second_factor"
    )
    secret = EncryptedTextField()
    created_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True, blank=True)
    last_step = models.BigIntegerField(default=0)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"second factor of {self.user}"


class RecoveryCode(models.Model):
    """A password for the day on which the app is lost: good once, kept as a hash."""

    factor = models.ForeignKey(SecondFactor, on_delete=models.CASCADE, related_name="codes")
    code_hash = models.CharField(max_length=64)
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["factor", "code_hash"], name="recovery_code_is_one")
        ]

    def __str__(self) -> str:
        return "used" if self.used_at else "unused"
