"""Define the one table."""

from __future__ import annotations

from django.db import models


class Mail(models.Model):
    """A mail that was asked for; `sent_at` says whether it has left."""

    recipient = models.EmailField()
    attribs = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True)

    objects: models.Manager[Mail] = models.Manager()

    class Meta:
        """It belongs to no real application."""

        app_label = "naive"
