"""Turn hits into facts of the messages' histories."""

from __future__ import annotations

from collections.abc import Sequence

from sending import ledger
from sending.models import Message
from tracking.hits import Hit


def record_hits(hits: Sequence[Hit]) -> None:
    """Write hits down in the event log; those of messages that are gone are left out."""
    messages = Message.objects.in_bulk({hit.message_id for hit in hits})
    for hit in hits:
        message = messages.get(hit.message_id)
        if message is not None:
            ledger.report(message, kind=hit.kind, status=None, now=hit.at, detail=hit.user_agent)
