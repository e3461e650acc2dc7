"""Define what was refused after a message had left, and who refuses our own mail as such."""

from __future__ import annotations

from django.db import models

from sending.models.message import Message


class ReportedBounce(models.Model):
    """A message that came back later, by a report. `sending.bounces` alone writes it.

    `address` is the suppression key of the recipient; `kind` is a word of `sending.replies.Kind`.
    """

    address = models.CharField(max_length=320)
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="reported_bounces")
    kind = models.CharField(max_length=20)
    enhanced_status = models.CharField(max_length=12, blank=True)
    diagnostic = models.CharField(max_length=1000, blank=True)
    reported_at = models.DateTimeField()

    class Meta:
        """An index for the count of an address (sending.bounces.is_dead)."""

        indexes = [models.Index(fields=["address", "reported_at"], name="bounce_of_address")]

    def __str__(self) -> str:
        return f"{self.address}: {self.kind}"


class SenderBlock(models.Model):
    """A domain that refuses mail from one of ours by its policy. `sending.blocks` alone writes it.

    `count` is since `first_at`; a day without a refusal begins anew.
    """

    sender_domain = models.CharField(max_length=255)
    recipient_domain = models.CharField(max_length=255)
    count = models.PositiveIntegerField(default=0)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField(db_index=True)
    reply = models.CharField(max_length=500, blank=True)

    class Meta:
        """One row for two domains."""

        constraints = [
            models.UniqueConstraint(
                fields=["sender_domain", "recipient_domain"], name="sender_block_is_one"
            )
        ]

    def __str__(self) -> str:
        return f"{self.recipient_domain} refuses {self.sender_domain}"
