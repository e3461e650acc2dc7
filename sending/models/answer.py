"""Define the answers that are kept, to be given again to who asks again."""

from __future__ import annotations

from django.db import models

from apikeys.models import ApiKey


class StoredAnswer(models.Model):
    """What was answered to an accepted request that had an Idempotency-Key.

    `fingerprint` tells whether a later request is the same; `body` is the answer as JSON text.
    """

    api_key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="+")
    idempotency_key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    body = models.TextField()
    message_id = models.UUIDField(null=True)
    batch_id = models.UUIDField(null=True)
    stored_at = models.DateTimeField()

    class Meta:
        """One answer for each key of a caller; the oldest ones are forgotten first."""

        constraints = [
            models.UniqueConstraint(name="storedanswer_once", fields=["api_key", "idempotency_key"])
        ]
        indexes = [models.Index(fields=["stored_at"], name="storedanswer_by_age")]

    def __str__(self) -> str:
        return self.idempotency_key
