"""Hold the counts of everything: rows that `stats.rollups` alone writes, and could write anew.

Times are the beginnings of hours or days in UTC. A row counts the messages that were *accepted*
then, wherever they stand by now; a `Tally` of failures or acts counts when those happened.
"""

from __future__ import annotations

from typing import Final

from django.db import models

from apikeys.models import ApiKey
from sending.models import Message, Status

# Which count a message is in, by where it stands; each message is in one of these.
MEASURE_OF_STATUS: Final = {
    Status.QUEUED: "waiting",
    Status.SENDING: "waiting",
    Status.DEFERRED: "waiting",
    Status.SENT: "taken",
    Status.DELIVERED: "confirmed",
    Status.BOUNCED: "bounced",
    Status.COMPLAINED: "complained",
    Status.REJECTED: "rejected",
    Status.FAILED: "failed",
    Status.SUPPRESSED: "suppressed",
    Status.CANCELED: "canceled",
    Status.EXPIRED: "expired",
    Status.UNKNOWN: "unknown",
}
MEASURES: Final = (
    *dict.fromkeys(MEASURE_OF_STATUS.values()),
    "deferrals",
    "opened",
    "any_opened",
    "clicked",
    "any_clicked",
    "opens",
    "machine_opens",
    "clicks",
    "machine_clicks",
    "unsubscribed",
)

# A wait is counted in the bucket of the power of this ratio (in milliseconds) that it reaches.
WAIT_RATIO: Final = 1.2
# Stands between the parts of a tally's value, and between a variant and the version it is of.
SEPARATOR: Final = "\x1f"


class Dimension(models.TextChoices):
    """What messages are told apart by; a row has one of them and its value.

    A message counts under its batch, its variant and each of its tags, of which it may have none.
    To add one of messages, say in `stats.rollups.deltas.dimensions_of` what its value is, and run
    ``manage.py rebuild_stats``; one of hits, in `stats.rollups.hits.dimensions_of`.
    """

    ALL = "all", "All messages"
    VERSION = "version", "Template version"
    STREAM = "stream", "Class of mail"
    SENDER_DOMAIN = "sender_domain", "Sender domain"
    RECIPIENT_DOMAIN = "recipient_domain", "Recipient domain"
    BATCH = "batch", "Batch"
    VARIANT = "variant", "Variant"
    TAG = "tag", "Tag"
    CLIENT = "client", "Mail client"
    DEVICE = "device", "Device"
    COUNTRY = "country", "Country"
    LINK = "link", "Link"


class Rollup(models.Model):
    """How many messages of a key were accepted in a span of time, and what became of them.

    `taken`: the next hop took it, and nothing was heard since; `confirmed`: reported as delivered.
    `opened`, `clicked`: messages that a person opened, clicked in; `any_opened`, `any_clicked`:
    that anybody did, be it a machine. `opens`, `clicks`: how often people did; the counts of
    machines are apart. For a client, device, country or link all of these are about its hits.
    """

    dimension = models.CharField(max_length=20, choices=Dimension.choices)
    api_key = models.ForeignKey(
        ApiKey, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    began_at = models.DateTimeField()
    value = models.CharField(max_length=255, blank=True)

    waiting = models.IntegerField(default=0)
    taken = models.IntegerField(default=0)
    confirmed = models.IntegerField(default=0)
    bounced = models.IntegerField(default=0)
    complained = models.IntegerField(default=0)
    rejected = models.IntegerField(default=0)
    failed = models.IntegerField(default=0)
    suppressed = models.IntegerField(default=0)
    canceled = models.IntegerField(default=0)
    expired = models.IntegerField(default=0)
    unknown = models.IntegerField(default=0)
    deferrals = models.IntegerField(default=0)
    opened = models.IntegerField(default=0)
    any_opened = models.IntegerField(default=0)
    clicked = models.IntegerField(default=0)
    any_clicked = models.IntegerField(default=0)
    opens = models.IntegerField(default=0)
    machine_opens = models.IntegerField(default=0)
    clicks = models.IntegerField(default=0)
    machine_clicks = models.IntegerField(default=0)
    unsubscribed = models.IntegerField(default=0)

    class Meta:
        """Shared by the hours and the days."""

        abstract = True

    def __str__(self) -> str:
        return f"{self.dimension} {self.value}, {self.began_at}"


class Hour(Rollup):
    """A rollup of one hour."""

    class Meta:
        """One row for each place; read by key and time."""

        constraints = [
            models.UniqueConstraint(
                fields=["dimension", "api_key", "began_at", "value"], name="hour_is_counted_once"
            )
        ]


class Day(Rollup):
    """A rollup of one day in UTC: the sum of its hours, so that long spans are read fast.

    There is none of a batch, all of which was accepted in one hour.
    """

    class Meta:
        """One row for each place; read by key and time."""

        constraints = [
            models.UniqueConstraint(
                fields=["dimension", "api_key", "began_at", "value"], name="day_is_counted_once"
            )
        ]


class Tally(models.Model):
    """How often something happened in an hour, of which only the number is kept."""

    class Series(models.TextChoices):
        """What is tallied, and so what `value` is.

        act: the kind of an event (of opens and clicks, those by people), by when it happened.
        failure: kind, reply code, enhanced status and text (of what was suppressed, the reason of
        the order), by when it happened. wait: the bucket of the time from acceptance to the
        hand-off, by when the message was accepted.
        """

        ACT = "act"
        FAILURE = "failure"
        WAIT = "wait"

    series = models.CharField(max_length=10, choices=Series.choices)
    api_key = models.ForeignKey(
        ApiKey, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    began_at = models.DateTimeField()
    value = models.CharField(max_length=255)
    number = models.IntegerField(default=0)

    class Meta:
        """One row for each place; read by key and time."""

        constraints = [
            models.UniqueConstraint(
                fields=["series", "api_key", "began_at", "value"], name="tally_is_kept_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.series} {self.value}, {self.began_at}"


class CountedHits(models.Model):
    """What of a message's opens, clicks and unsubscribing is in the counts now.

    Who a hit was by may be judged anew: what was counted then is taken out again.
    """

    message = models.OneToOneField(
        Message,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="+",
        db_constraint=False,
    )
    hits = models.JSONField()

    def __str__(self) -> str:
        return str(self.message_id)


class Progress(models.Model):
    """Up to which event everything is counted; one row, which changes together with the counts."""

    event_id = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"counted up to event {self.event_id}"
