"""Hold which links a template version has, and how far the spooled hits are stored."""

from __future__ import annotations

from django.db import models

from sending.models import TemplateVersion


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
