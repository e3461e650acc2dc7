"""Define the message: one copy for one recipient, and the states it can be in."""

from __future__ import annotations

import secrets
import time
import uuid
from datetime import UTC, datetime

from django.db import models
from django.db.models import Q, Value

from apikeys.models import ApiKey
from sending.models.checks import IsOneOf, stands_only_while


class Status(models.TextChoices):
    """Where a message stands. WAITING and SENDING move by themselves; the others are outcomes."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    REJECTED = "rejected"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    CANCELED = "canceled"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


WAITING = (Status.QUEUED, Status.DEFERRED)
# A message that was in the hands of so many workers when they ended is claimed by itself.
SUSPECT_LAPSES = 2
# So long may a tag or the name of a variant be.
MARK_LENGTH = 50
USUAL = (Status.QUEUED, Status.SENDING, Status.SENT, Status.DELIVERED)


class Priority(models.IntegerChoices):
    """Who goes first: a mail that one person waits for is not held up by ten thousand others."""

    SINGLE = 0, "Accepted by itself"
    BATCH = 1, "Accepted with many others"


class Stream(models.TextChoices):
    """Class of mail with its own rules: an answer to an act of the recipient, or to many."""

    TRANSACTIONAL = "transactional"
    BULK = "bulk"


def new_message_id() -> uuid.UUID:
    """Return a UUID version 7 (RFC 9562 section 5.7): unique, and in the order of acceptance."""
    return _id_of(time.time_ns() // 1_000_000)


def new_id_in(batch_id: uuid.UUID) -> uuid.UUID:
    """Return an id for a message of a batch: of the same millisecond as the batch's own.

    So `in_batch` finds a whole batch by the primary key alone.
    """
    return _id_of(batch_id.int >> 80)


def in_batch(batch_id: uuid.UUID) -> Q:
    """Return the condition that a message is of a batch: a short walk along the primary key."""
    first = batch_id.int >> 80 << 80
    last = first | (1 << 80) - 1
    return Q(id__range=(uuid.UUID(int=first), uuid.UUID(int=last)), batch_id=batch_id)


def made_at(identity: uuid.UUID) -> datetime:
    """Return when an id of version 7 was made; raises ValueError when that is beyond all years."""
    return datetime.fromtimestamp((identity.int >> 80) / 1000, UTC)


def first_id_since(moment: datetime) -> uuid.UUID:
    """Return the smallest id that a message accepted from `moment` on can have."""
    return uuid.UUID(int=int(moment.timestamp() * 1000) << 80)


def _id_of(milliseconds: int) -> uuid.UUID:
    number = (milliseconds << 80) | secrets.randbits(80)
    number = (number & ~(0xF << 76)) | (7 << 76)
    return uuid.UUID(int=(number & ~(0b11 << 62)) | (0b10 << 62))


class Message(models.Model):
    """One copy for one recipient. `sending.ledger` alone changes its state.

    `claim` names the worker's hold on a row in ``sending``; `lease_until` ends it.
    `handed_off_at` is set just before the body goes out: from then on the next hop may own it.
    `lapse_count` counts the claims that ended without a result since the last one that had any.
    `is_limited`: a limit of ours made it wait, last time that it was claimed.
    `subject` and `template_version` are pinned at acceptance, as are the Message-ID and whether
    the mail is tracked. `batch_id`: of the call that it was accepted in with others. `variant` and
    `tags`: what the caller marked it with, to tell its figures apart. No delivery reads these.
    `opened_at` and `clicked_at`: the first time by a person; `any_opened_at` and `any_clicked_at`:
    the first time at all, be it by a machine.
    """

    id = models.UUIDField(primary_key=True, default=new_message_id, editable=False)
    # Every change of status writes to every index, so there are no more than are read often.
    api_key = models.ForeignKey(
        ApiKey, on_delete=models.PROTECT, related_name="messages", db_index=False
    )
    template_version = models.ForeignKey(
        "sending.TemplateVersion",
        on_delete=models.PROTECT,
        related_name="messages",
        null=True,
        db_index=False,
    )
    stream = models.CharField(max_length=13, choices=Stream.choices, default=Stream.TRANSACTIONAL)
    recipient = models.CharField(max_length=320)
    recipient_domain = models.CharField(max_length=255)
    sender_address = models.CharField(max_length=320)
    sender_name = models.CharField(max_length=200, blank=True)
    reply_to = models.CharField(max_length=320, blank=True)
    subject = models.TextField(blank=True)
    attribs = models.JSONField(default=dict, blank=True)
    has_unsubscribe_link = models.BooleanField(default=False)
    track_opens = models.BooleanField(default=False, db_default=False)
    track_clicks = models.BooleanField(default=False, db_default=False)
    # Begins with the id, and has a secret part besides: `sending.ledger.intake` makes it.
    message_id = models.CharField("Message-ID", max_length=320)

    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    reason = models.CharField(max_length=500, blank=True)
    # Not "positive": the server reads each condition anew in every statement that writes here.
    priority = models.SmallIntegerField(
        choices=Priority.choices, default=Priority.SINGLE, db_default=Priority.SINGLE
    )
    accepted_at = models.DateTimeField()
    status_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    attempt_count = models.PositiveSmallIntegerField(default=0)
    lapse_count = models.SmallIntegerField(default=0, db_default=0)
    is_limited = models.BooleanField(default=False, db_default=False)
    claim = models.BigIntegerField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    handed_off_at = models.DateTimeField(null=True, blank=True)
    opened_at = models.DateTimeField(null=True, blank=True)
    clicked_at = models.DateTimeField(null=True, blank=True)
    any_opened_at = models.DateTimeField(null=True, blank=True)
    any_clicked_at = models.DateTimeField(null=True, blank=True)
    # Without an index: its messages are together in the primary key (`in_batch`).
    batch_id = models.UUIDField(null=True, blank=True)
    variant = models.CharField(max_length=MARK_LENGTH, blank=True, default="", db_default="")
    tags = models.JSONField(default=list, blank=True, db_default=Value([], models.JSONField()))

    class Meta:
        """Invariants, and an index for each query that runs often."""

        constraints = [
            models.CheckConstraint(
                name="message_status_is_known",
                condition=IsOneOf("status", words=" ".join(Status.values)),
            ),
            models.CheckConstraint(
                name="message_is_leased_while_sending",
                condition=stands_only_while("lease_until", Q(status=Status.SENDING))
                & (Q(lease_until__isnull=True) | Q(claim__isnull=False)),
            ),
            models.CheckConstraint(
                name="message_is_due_while_waiting",
                condition=stands_only_while("next_attempt_at", Q(status__in=WAITING)),
            ),
        ]
        indexes = [
            # sending.ledger.claim: the next due messages, however many rows are at rest.
            models.Index(
                fields=["priority", "next_attempt_at"],
                name="message_due",
                condition=Q(status__in=WAITING),
            ),
            # sending.ledger.claim: those that may have ended their workers.
            models.Index(
                fields=["priority", "next_attempt_at"],
                name="message_suspect",
                condition=Q(status__in=WAITING, lapse_count__gte=SUSPECT_LAPSES),
            ),
            # sending.ledger.reap: the few that are held. On the id, not on lease_until, so that
            # marking the hand-off changes no index.
            models.Index(fields=["id"], name="message_held", condition=Q(status=Status.SENDING)),
            # The message list of the dashboard: newest first, whole or of one status or key. Nearly
            # every message is sent or delivered: the list by its ids finds those as fast.
            models.Index(
                fields=["status", "-id"],
                name="message_by_status",
                condition=~Q(status__in=USUAL),
            ),
            models.Index(fields=["api_key", "-id"], name="message_by_key"),
            # The dashboard's search, and everything that ever went to an address.
            models.Index(fields=["recipient", "-id"], name="message_by_recipient"),
        ]

    def __str__(self) -> str:
        return f"{self.recipient} ({self.status})"
