"""Tell what a recipient said. To be forgotten there is nothing in it: it names a message only."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from django.db.models import Model

from unsubscribe.models import Unsubscribe


class _Unsubscribes:
    """When and how it was said, and why."""

    def export(self, message_ids: Collection[UUID]) -> Mapping[str, Sequence[Model]]:
        """Return what was said by the links of these messages."""
        found = Unsubscribe.objects.filter(message_id__in=message_ids).order_by("created_at")
        return {"unsubscribes": list(found)}

    def forget(self, message_ids: Collection[UUID]) -> None:
        """Do nothing: the message that it names is to nobody any more."""


unsubscribes = _Unsubscribes()
