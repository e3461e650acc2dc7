"""Tell and forget who opened and clicked the mails of a recipient."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from django.db.models import Model

from tracking import drainer, visits
from tracking.models import Visit


class _Hits:
    """The opens and clicks, with the addresses and programs that they came from."""

    def export(self, message_ids: Collection[UUID]) -> Mapping[str, Sequence[Model]]:
        """Return what is known of each open and click."""
        found = Visit.objects.filter(message_id__in=message_ids).order_by("event_id")
        return {"opens_and_clicks": list(found)}

    def forget(self, message_ids: Collection[UUID]) -> None:
        """Remove addresses and names of programs, also of hits that could not be stored."""
        visits.forget(message_ids)
        drainer.forget_rejected(message_ids)


hits = _Hits()
