"""Hold the runs that look through a list of addresses, and what they found."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable

from django.db import models
from django.db.models import Count, F, Q

from sending.mentions import STRUCK

MAX_TEXT = 500


class Kind(models.TextChoices):
    """What can be wrong with an address. New kinds go to the end: `bits_of` counts places."""

    SYNTAX = "syntax", "Not an address"
    NO_DOMAIN = "no-domain", "The domain does not exist"
    NULL_MX = "null-mx", "The domain takes no mail (null MX)"
    NO_HOST = "no-mail-host", "The domain has no mail server"
    DISPOSABLE = "disposable", "Disposable address"
    ROLE = "role", "Role account"
    TYPO = "typo", "Perhaps a mistyped domain"
    NEVER_ENGAGED = "never-engaged", "Opens and clicks nothing"
    SOFT_BOUNCES = "soft-bounces", "Bounced again and again"


# What is certain enough to be applied unless something else is asked for.
SAFE = (Kind.SYNTAX, Kind.NO_DOMAIN, Kind.NULL_MX, Kind.DISPOSABLE)
_BITS = {kind: 1 << place for place, kind in enumerate(Kind)}


def bits_of(kinds: Iterable[Kind]) -> int:
    """Return the kinds as the number that is stored."""
    return functools.reduce(operator.or_, (_BITS[kind] for kind in kinds), 0)


def kinds_of(bits: int) -> list[Kind]:
    """Return the kinds behind a stored number, in their order."""
    return [kind for kind, bit in _BITS.items() if bits & bit]


class Run(models.Model):
    """One look through a list. `hygiene.runs` alone changes its state.

    Whoever holds the run (`holder`) works on it until `lease_until`; after that another may go on
    where it stopped: `cursor` says where, and changes together with what was found. `kinds`: what
    is suppressed when it is applied. `trouble` says what a person should know.
    """

    class Source(models.TextChoices):
        """Where the addresses come from."""

        STORED = "stored", "Everybody who was ever written to"
        FILE = "file", "A CSV file"
        BATCH = "batch", "A batch"

    class State(models.TextChoices):
        """Where it stands; those that end in -ing move by themselves."""

        LOADING = "loading", "Reading the file"
        CHECKING = "checking", "Checking"
        CHECKED = "checked", "Checked, nothing changed"
        APPLYING = "applying", "Suppressing"
        APPLIED = "applied", "Suppressed"
        UNDOING = "undoing", "Undoing"
        UNDONE = "undone", "Undone"
        FAILED = "failed", "Failed"

    source = models.CharField(max_length=6, choices=Source.choices)
    source_name = models.CharField(max_length=300, blank=True)
    batch_message_id = models.UUIDField(null=True, blank=True)
    looks_up_domains = models.BooleanField(default=True)
    never_engaged_days = models.PositiveSmallIntegerField(default=180)
    period_days = models.PositiveSmallIntegerField(default=30)
    kinds = models.PositiveIntegerField(default=bits_of(SAFE))
    applies_at_once = models.BooleanField(default=False)

    state = models.CharField(max_length=8, choices=State.choices)
    trouble = models.CharField(max_length=MAX_TEXT, blank=True)
    cursor = models.CharField(max_length=400, blank=True)
    done = models.PositiveBigIntegerField(default=0)
    total = models.PositiveBigIntegerField(default=0)
    standing = models.PositiveBigIntegerField(default=0)
    report = models.JSONField(default=dict, blank=True)
    holder = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)

    by = models.CharField("Who", max_length=150, blank=True)
    applied_by = models.CharField(max_length=150, blank=True)
    undone_by = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField()
    checked_at = models.DateTimeField(null=True, blank=True)
    applied_at = models.DateTimeField(null=True, blank=True)
    undone_at = models.DateTimeField(null=True, blank=True)
    forgotten_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "cleaning"
        verbose_name_plural = "cleanings"
        indexes = [
            # Every worker asks for it every two seconds.
            models.Index(
                fields=["id"],
                name="run_to_go_on",
                condition=Q(state__in=["checking", "applying", "undoing"]),
            )
        ]

    def __str__(self) -> str:
        return f"Cleaning {self.pk}"


WORKING = (Run.State.CHECKING, Run.State.APPLYING, Run.State.UNDOING)


class Line(models.Model):
    """One line of a file, until it is checked."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="lines", db_index=False)
    text = models.CharField(max_length=MAX_TEXT)

    class Meta:
        """In the order of the file."""

        indexes = [models.Index(fields=["run", "id"], name="line_of_run")]

    def __str__(self) -> str:
        return self.text


class FindingQuerySet(models.QuerySet["Finding"]):
    """Ask for findings by their kind."""

    def with_any(self, kinds: Iterable[Kind]) -> FindingQuerySet:
        """Return those that have at least one of the kinds."""
        found = self.annotate(chosen=F("kinds").bitand(bits_of(kinds)))
        return found.filter(chosen__gt=0)

    def still_named(self) -> FindingQuerySet:
        """Return those whose addresses are not forgotten."""
        return self.exclude(address=STRUCK)

    def numbers(self) -> dict[Kind, int]:
        """Return how many there are of each kind; an address can be of several."""
        marked = self.annotate(
            **{f"is_{kind.name}": F("kinds").bitand(_BITS[kind]) for kind in Kind}
        )
        counted = marked.aggregate(
            **{kind.name: Count("pk", filter=Q(**{f"is_{kind.name}__gt": 0})) for kind in Kind}
        )
        return {kind: counted[kind.name] for kind in Kind}


class Finding(models.Model):
    """An address with which something is wrong, and what became of it.

    The numbers are of the messages to it that were accepted in the run's period, as the
    statistics count them. `order_id`: the suppression that this run gave.
    """

    class Outcome(models.TextChoices):
        """What applying and undoing came to."""

        NONE = "", "Nothing yet"
        SUPPRESSED = "suppressed", "Suppressed"
        STOOD = "stood", "Was suppressed as invalid already"
        UNFIT = "unfit", "No order can name it; sending refuses it anyway"
        UNDONE = "undone", "Taken back"
        KEPT = "kept", "Left as it is"

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="findings", db_index=False)
    address = models.CharField(max_length=MAX_TEXT)
    kinds = models.PositiveIntegerField()
    detail = models.CharField(max_length=MAX_TEXT, blank=True)
    suggestion = models.CharField(max_length=320, blank=True)
    sent = models.PositiveIntegerField(default=0)
    delivered = models.PositiveIntegerField(default=0)
    bounced = models.PositiveIntegerField(default=0)
    opened = models.PositiveIntegerField(default=0)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, blank=True, default="")
    order_id = models.BigIntegerField(null=True, blank=True)
    told = models.CharField(max_length=MAX_TEXT, blank=True)

    objects = FindingQuerySet.as_manager()

    class Meta:
        """An address once for each run; read in the order of the run."""

        constraints = [
            models.UniqueConstraint(
                fields=["run", "address"],
                name="finding_is_made_once",
                condition=~Q(address=STRUCK),
            )
        ]
        indexes = [
            models.Index(fields=["run", "id"], name="finding_of_run"),
        ]

    def __str__(self) -> str:
        return self.address

    @property
    def words(self) -> list[Kind]:
        """Return the kinds."""
        return kinds_of(self.kinds)
