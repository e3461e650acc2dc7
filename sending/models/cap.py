"""Define the places that bulk mails take among those that a recipient may get."""

from __future__ import annotations

from django.db import models

from sending.models.message import Message


class BulkPlace(models.Model):
    """A bulk mail that counts for the cap of its recipient. `sending.caps` alone writes it.

    It counts as long as it waits or is on its way, and for a day or a week after it has left.
    `address` is the recipient, case-folded.
    """

    message = models.OneToOneField(
        Message, on_delete=models.CASCADE, primary_key=True, related_name="+", db_constraint=False
    )
    address = models.CharField(max_length=320)
    taken_at = models.DateTimeField()

    class Meta:
        """Read by the address; the old ones go."""

        indexes = [
            models.Index(fields=["address"], name="bulkplace_of_address"),
            models.Index(fields=["taken_at"], name="bulkplace_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.address}: {self.message_id}"
