"""Define routes: named, configured ways out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from sending.encryption import EncryptedTextField


class Route(models.Model):
    """A next hop and how to speak to it: an SMTP server, or any Django e-mail backend.

    `options` is the JSON object of keyword arguments for the backend; it holds provider keys, so
    it is encrypted like `password`. What follows from its use (paused, down) is written by
    `sending.outages` alone: `paused_until` is when one message may try a paused route again,
    `failure_count` how often in a row it could not be used.
    """

    STATE = (
        "paused_at",
        "paused_until",
        "paused_reason",
        "down_until",
        "down_reason",
        "failure_count",
    )

    class Kind(models.TextChoices):
        """What stands at the other end."""

        SMTP = "smtp", "SMTP server"
        ANYMAIL = "anymail", "Provider (django-anymail or any Django e-mail backend)"
        SIMULATOR = "simulator", "Simulator (nothing leaves this machine)"

    class Tls(models.TextChoices):
        """How an SMTP connection is protected."""

        NONE = "none", "None (loopback or a trusted network only)"
        STARTTLS = "starttls", "STARTTLS (port 25 or 587)"
        TLS = "tls", "TLS from the first byte (port 465)"

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.SMTP)
    is_active = models.BooleanField(default=True)
    is_default = models.BooleanField(
        default=False, help_text="Used by every key that names no route of its own."
    )
    connections = models.PositiveSmallIntegerField(
        default=4,
        validators=[MinValueValidator(1), MaxValueValidator(50)],
        help_text="Connections kept open at the same time by each worker.",
    )

    host = models.CharField(max_length=255, blank=True)
    port = models.PositiveIntegerField(default=587, validators=[MaxValueValidator(65535)])
    tls = models.CharField("TLS", max_length=10, choices=Tls.choices, default=Tls.STARTTLS)
    verify_certificate = models.BooleanField(default=True)
    username = models.CharField(max_length=255, blank=True)
    password = EncryptedTextField(blank=True)
    connect_timeout_seconds = models.PositiveSmallIntegerField(
        default=10, validators=[MinValueValidator(1)]
    )
    command_timeout_seconds = models.PositiveSmallIntegerField(
        default=60, validators=[MinValueValidator(1)]
    )
    data_timeout_seconds = models.PositiveSmallIntegerField(
        default=300,
        validators=[MinValueValidator(1)],
        help_text="How long to wait for the answer to the message itself; RFC 5321 asks for 600.",
    )

    backend = models.CharField(
        max_length=255, blank=True, help_text="For example anymail.backends.postmark.EmailBackend"
    )
    options = EncryptedTextField(
        blank=True,
        help_text='JSON: the keyword arguments of the backend, as in {"server_token": "..."}.',
    )

    paused_at = models.DateTimeField(null=True, editable=False)
    paused_until = models.DateTimeField(null=True, editable=False)
    paused_reason = models.CharField(max_length=500, blank=True, default="", editable=False)
    down_until = models.DateTimeField(null=True, editable=False)
    down_reason = models.CharField(max_length=500, blank=True, default="", editable=False)
    failure_count = models.PositiveSmallIntegerField(default=0, editable=False)

    class Meta:
        """At most one default."""

        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=Q(is_default=True), name="route_default_is_single"
            )
        ]

    def __str__(self) -> str:
        return self.name

    def is_paused(self) -> bool:
        """Tell whether its next hop refused us as such, and nobody and nothing ended that yet."""
        return self.paused_at is not None

    def is_down(self, *, now: datetime) -> bool:
        """Tell whether it could not be reached a moment ago."""
        return self.down_until is not None and self.down_until > now

    def configuration(self) -> dict[str, Any]:
        """Return how it is set up: what a connection has to be opened anew for."""
        names = [field.attname for field in self._meta.concrete_fields]
        return {name: getattr(self, name) for name in names if name not in self.STATE}
