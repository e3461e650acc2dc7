"""Let the counts follow when words are erased: those of servers, and the marks of messages."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC
from uuid import UUID

from django.db import transaction
from django.db.models import F, Model
from django.db.models.functions import TruncHour

from sending import ledger
from sending.models import Event
from stats.models import Progress, Tally
from stats.rollups.changes import FAILURES, alike
from stats.rollups.deltas import Deltas
from stats.rollups.forgetting import forget_marks


class _Counts:
    """Counts hold no person; but what was counted under a server's words would be, anew."""

    def export(self, message_ids: Collection[UUID]) -> Mapping[str, Sequence[Model]]:
        """Return nothing: these are sums."""
        return {}

    def forget(self, message_ids: Collection[UUID]) -> None:
        """Count the failures that are counted already under their codes alone, and no marks."""
        with transaction.atomic():
            forget_marks(message_ids)
            progress = Progress.objects.select_for_update().filter(pk=1).first()
            counted = Event.objects.filter(
                message_id__in=message_ids,
                kind__in=FAILURES,
                status_after=F("kind"),
                id__lte=progress.event_id if progress else 0,
            ).annotate(hour=TruncHour("occurred_at", tzinfo=UTC))
            deltas = Deltas()
            for key, hour, kind, detail in counted.values_list(
                "message__api_key_id", "hour", "kind", "detail"
            ):
                place = (Tally.Series.FAILURE.value, key, hour)
                deltas.tally((*place, alike(kind, detail)), -1)
                deltas.tally((*place, alike(kind, ledger.bare(detail))), 1)
            deltas.apply()
            Tally.objects.filter(series=Tally.Series.FAILURE, number=0).delete()


counts = _Counts()
