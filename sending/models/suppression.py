"""Define standing orders not to send, and those that were lifted."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from sending.models.message import Message


class Order(models.Model):
    """What a standing order says.

    `address` is the rule, case-folded: an address, ``@domain`` for everybody there, ``.domain`` for
    its sub-domains too, or ``pattern:`` and a text in which ``*`` stands for any other. The
    address of somebody who was forgotten is a pseudonym (`sending.pseudonyms`).
    """

    class Reason(models.TextChoices):
        """Why; the word is what a refused caller reads."""

        UNSUBSCRIBED = "unsubscribed", "Unsubscribed"
        HARD_BOUNCE = "bounced", "Bounced: no such address"
        COMPLAINT = "complained", "Complained"
        BLACKLIST = "blacklisted", "Blacklisted"
        SOFT_BOUNCES = "soft-bounced", "Bounced again and again"
        INVALID = "invalid", "No valid address"
        MANUAL = "manual", "Stopped by hand"
        FREQUENCY_CAP = "capped", "Enough mail for now"
        FORGOTTEN = "forgotten", "Asked to be forgotten"

    class Kind(models.TextChoices):
        """Whom the order is about: its rule tells, and this finds the few broad ones."""

        ADDRESS = "address", "One address"
        DOMAIN = "domain", "A domain"
        SUBDOMAINS = "subdomains", "A domain and its sub-domains"
        PATTERN = "pattern", "A pattern"
        PSEUDONYM = "pseudonym", "Somebody who was forgotten"

    address = models.CharField(max_length=320)
    kind = models.CharField(
        max_length=10, choices=Kind.choices, default=Kind.ADDRESS, db_default=Kind.ADDRESS
    )
    reason = models.CharField(max_length=12, choices=Reason.choices)
    source_message = models.ForeignKey(
        Message, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    note = models.CharField(max_length=500, blank=True)
    by = models.CharField(
        "Who",
        max_length=150,
        blank=True,
        default="",
        db_default="",
        help_text="Who gave the order.",
    )
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="The order ends by itself then. Empty: never."
    )

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.address} ({self.reason})"


Reason = Order.Reason
Kind = Order.Kind
# No index finds these by an address.
BROAD = (Kind.SUBDOMAINS, Kind.PATTERN)


class Suppression(Order):
    """An order that stands. `sending.suppressions` alone writes it.

    Each reason is an order of its own, so that lifting a bounce leaves the recipient's no alone.
    """

    is_repeated = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text="Given again from elsewhere: what gave it first cannot lift it alone.",
    )

    class Meta:
        """One order for each reason; indexes for the look-up, the lists and the chart."""

        constraints = [
            # It serves the screening: nearly every address is not in it, and no row is read then.
            models.UniqueConstraint(fields=["address", "reason"], name="suppression_is_given_once"),
        ]
        indexes = [
            # The rules that no index finds by an address: few, and read whole.
            models.Index(
                fields=["kind", "-id"], name="suppression_broad", condition=~Q(kind=Kind.ADDRESS)
            ),
            models.Index(fields=["reason", "-id"], name="suppression_by_reason"),
            models.Index(fields=["created_at", "reason"], name="suppression_over_time"),
        ]


class LiftedSuppression(Order):
    """An order that was lifted or has expired: what the history of an address shows."""

    lifted_at = models.DateTimeField()
    lifted_by = models.CharField(max_length=150, blank=True)
    lift_note = models.CharField(max_length=500, blank=True)

    class Meta:
        """The history of one address, the newest first."""

        indexes = [models.Index(fields=["address", "-id"], name="lifted_of_address")]
