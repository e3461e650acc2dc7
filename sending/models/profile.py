"""Define what a key sends: the part of an API key that belongs to sending."""

from __future__ import annotations

from django.db import models

from apikeys.models import ApiKey
from sending.models.domain import SenderDomain
from sending.models.message import Stream
from sending.models.route import Route
from sending.models.template import Template


class AmbiguityPolicy(models.TextChoices):
    """What becomes of a message whose acceptance was never read (RFC 1047)."""

    RETRY = "retry", "Try again with the same Message-ID (perhaps a second copy)"
    HOLD = "hold", "Hold it as unknown until a person or a report decides"


class FallbackRoute(models.Model):
    """A further route of a key, taken when those of a lower `position` cannot be used."""

    api_key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="fallback_routes")
    route = models.ForeignKey(Route, on_delete=models.CASCADE)
    position = models.PositiveSmallIntegerField()

    class Meta:
        """A route once for each key; the index serves the choice at every claim."""

        constraints = [
            models.UniqueConstraint(
                fields=["api_key", "route"], name="fallback_route_is_listed_once"
            ),
            models.UniqueConstraint(
                fields=["api_key", "position"], name="fallback_position_is_taken_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.position}: {self.route}"


class SendingProfile(models.Model):
    """The template, sender and rules that a key's requests are filled up with."""

    api_key = models.OneToOneField(
        ApiKey, on_delete=models.CASCADE, primary_key=True, related_name="sending_profile"
    )
    template = models.ForeignKey(Template, on_delete=models.SET_NULL, null=True, blank=True)
    subject = models.CharField(
        max_length=500, blank=True, help_text="Empty: the template's. May hold {{.API.name}}."
    )
    sender_address = models.CharField(
        max_length=320, blank=True, help_text="Used when a request gives no addresser."
    )
    sender_name = models.CharField("Display name", max_length=200, blank=True)
    reply_to = models.CharField("Reply-To", max_length=320, blank=True)
    sender_domains = models.ManyToManyField(
        SenderDomain, blank=True, help_text="Domains this key may send from. None: every domain."
    )
    extra_senders = models.JSONField(
        default=list, blank=True, help_text="Exact addresses allowed besides the domains."
    )
    stream = models.CharField(
        "Class of mail", max_length=13, choices=Stream.choices, default=Stream.TRANSACTIONAL
    )
    has_unsubscribe_link = models.BooleanField(
        "Unsubscribe link",
        default=False,
        help_text="Adds List-Unsubscribe and, where the template has no link, a line at the end.",
    )
    heeds_unsubscribes = models.BooleanField(
        "An unsubscribe ends this mail too",
        default=True,
        db_default=True,
        help_text="Off: mail of the transactional class goes out to people who have unsubscribed, "
        "such as receipts. Bulk mail never does, and every other suppression holds.",
    )
    bulk_per_day = models.PositiveSmallIntegerField(
        "Bulk mails a day",
        null=True,
        blank=True,
        help_text="At most so many to one recipient in 24 hours; more are not sent. "
        "Empty: BULK_CAP_PER_DAY. 0: no cap for this key.",
    )
    bulk_per_week = models.PositiveSmallIntegerField(
        "Bulk mails a week",
        null=True,
        blank=True,
        help_text="The same in 7 days. Empty: BULK_CAP_PER_WEEK. 0: no cap for this key.",
    )
    track_opens = models.BooleanField(
        "Track opens",
        default=True,
        help_text="Adds an invisible picture to HTML mail. A request can say otherwise.",
    )
    track_clicks = models.BooleanField(
        "Track clicks",
        default=True,
        help_text="Leads the links of HTML mail through this server. A request can say otherwise.",
    )
    is_strict = models.BooleanField(
        "Strict variables",
        default=False,
        help_text="Refuse a request that leaves a variable of the template without a value.",
    )
    route = models.ForeignKey(
        Route, on_delete=models.SET_NULL, null=True, blank=True, help_text="Empty: the default."
    )
    ambiguity_policy = models.CharField(
        "If the answer is lost",
        max_length=5,
        choices=AmbiguityPolicy.choices,
        default=AmbiguityPolicy.RETRY,
    )

    def __str__(self) -> str:
        return f"What {self.api_key} sends"
