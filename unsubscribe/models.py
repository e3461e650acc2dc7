"""Hold what recipients said."""

from __future__ import annotations

from django.db import models

from sending.models import Message


class Unsubscribe(models.Model):
    """A recipient's no: by which mail, when, and how it was said."""

    class Method(models.TextChoices):
        """How it was said."""

        ONE_CLICK = "one-click", "One click in the mail program (RFC 8058)"
        PAGE = "page", "Button on the page"

    message = models.OneToOneField(Message, on_delete=models.CASCADE, primary_key=True)
    method = models.CharField(max_length=10, choices=Method.choices)
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.message_id} by {self.method}"
