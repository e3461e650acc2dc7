"""Define standing orders not to send to an address."""

from __future__ import annotations

from django.db import models

from sending.models.message import Message


class Suppression(models.Model):
    """An address that gets no mail, and why. `sending.suppressions` alone writes it.

    `address` is case-folded: a whole address, or ``@domain`` for everybody there.
    """

    class Reason(models.TextChoices):
        """Why; the word is what a refused caller reads."""

        UNSUBSCRIBED = "unsubscribed"
        HARD_BOUNCE = "bounced"
        COMPLAINT = "complained"
        BLACKLIST = "blacklisted"

    address = models.CharField(max_length=320, unique=True)
    reason = models.CharField(max_length=12, choices=Reason.choices)
    source_message = models.ForeignKey(Message, on_delete=models.SET_NULL, null=True, blank=True)
    note = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.address} ({self.reason})"
