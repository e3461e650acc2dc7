"""Hold the links of template versions, how far hits are stored, and who opened and clicked."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from sending.models import Event, Message, TemplateVersion
from tracking.agents import MAX_LENGTH
from tracking.hits import CLICKED, OPENED
from tracking.visitors import Label


class TrackedLink(models.Model):
    """A link of a template version: its place in the HTML, from 1, and its URL as written there."""

    template_version = models.ForeignKey(
        TemplateVersion, on_delete=models.CASCADE, related_name="tracked_links"
    )
    position = models.PositiveSmallIntegerField()
    url = models.TextField("URL")

    class Meta:
        """One row for each place."""

        constraints = [
            models.UniqueConstraint(
                fields=["template_version", "position"], name="trackedlink_place_is_taken_once"
            )
        ]

    def __str__(self) -> str:
        return self.url


class Segment(models.Model):
    """A spool file of hits: how many of its octets are stored. `tracking.drainer` writes it.

    The row changes in the transaction that stores the hits, so that each is stored once.
    """

    name = models.CharField(max_length=64, primary_key=True)
    stored_bytes = models.PositiveBigIntegerField(default=0)
    stored_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class Visit(models.Model):
    """What is known of one open or click in the event log: what it came with, and who it was.

    `tracking.visits` writes it. The label and its reasons were found by the rules of `ruleset`;
    `is_human` is what counts. `client`, `device`, `system` and `country` are empty where nothing
    tells them, or a proxy hides them.
    """

    event = models.OneToOneField(
        Event,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="visit",
        db_constraint=False,
    )
    message = models.ForeignKey(
        Message,
        on_delete=models.CASCADE,
        related_name="visits",
        db_index=False,
        db_constraint=False,
    )
    kind = models.CharField(max_length=7, choices=[(OPENED, "opened"), (CLICKED, "clicked")])
    at = models.DateTimeField()
    # A template version is a record, as are its links.
    link = models.ForeignKey(
        TrackedLink,
        on_delete=models.SET_NULL,
        null=True,
        related_name="visits",
        db_index=False,
        db_constraint=False,
    )

    ip = models.GenericIPAddressField("IP address", null=True)
    has_whole_ip = models.BooleanField(default=False)
    user_agent = models.CharField(max_length=MAX_LENGTH, blank=True)
    method = models.CharField(max_length=10, default="GET")
    has_accept = models.BooleanField(default=True)
    purpose = models.CharField(max_length=50, blank=True)

    label = models.CharField(max_length=7, choices=[(one.value, one.value) for one in Label])
    is_human = models.BooleanField()
    reasons = models.JSONField(default=list)
    ruleset = models.PositiveSmallIntegerField()
    client = models.CharField(max_length=50, blank=True)
    device = models.CharField(max_length=10, blank=True)
    system = models.CharField(max_length=50, blank=True)
    country = models.CharField(max_length=2, blank=True)

    class Meta:
        """What is asked: the hits of a message, of a link, by a label; what to shorten."""

        indexes = [
            models.Index(fields=["message", "at"], name="visit_of_message"),
            # The pages of the links: who and when, how many.
            models.Index(
                fields=["link", "-event"], name="visit_by_link", condition=Q(link__isnull=False)
            ),
            models.Index(
                fields=["link", "message", "is_human"],
                name="visit_counted_by_link",
                condition=Q(link__isnull=False),
            ),
            # The event list, by who it was.
            models.Index(fields=["label", "-event"], name="visit_by_label"),
            models.Index(fields=["at"], name="visit_with_whole_ip", condition=Q(has_whole_ip=True)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} by {self.label}"


class Relabelled(models.Model):
    """A message of whose hits some are by somebody else than was thought: to be counted anew.

    Written in the transaction that changes the labels; removed by who has counted.
    """

    message = models.ForeignKey(
        Message,
        on_delete=models.CASCADE,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )

    def __str__(self) -> str:
        return str(self.message_id)
