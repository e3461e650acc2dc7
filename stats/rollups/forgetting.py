"""Take out of the counts what is removed itself, while nobody counts."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from stats.models import CountedHits, Day, Hour, Progress, Tally


def forget_messages(message_ids: Collection[UUID]) -> None:
    """Forget what is counted of messages that are being removed.

    Until the caller's transaction ends, nobody counts: the messages and their events are to be
    removed in it. Their counts stay until `forget_keys`.
    """
    _hold()
    CountedHits.objects.filter(message__in=message_ids).delete()


def forget_keys(key_ids: Collection[UUID]) -> None:
    """Remove all counts of keys whose messages were removed, in the caller's transaction."""
    _hold()
    for model in (Hour, Day, Tally):
        model._default_manager.filter(api_key__in=key_ids).delete()


def _hold() -> None:
    """Keep the rollers from counting until the end of the transaction."""
    list(Progress.objects.select_for_update().filter(pk=1))
