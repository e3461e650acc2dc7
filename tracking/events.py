"""Turn what reaches us about a message into facts of the one event log."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from sending import ledger
from sending.ledger import Fact
from tracking import visits
from tracking.hits import Hit


def record_hits(hits: Sequence[Hit]) -> None:
    """Write opens and clicks to the log and keep who it was, in one transaction.

    Idempotent by the key of each hit. Hits on messages that are not here are left out.
    """
    by_fact = {
        Fact(
            message_id=hit.message_id,
            kind=hit.kind,
            occurred_at=hit.at,
            key=f"hit:{hit.key}",
            detail=hit.url,
        ): hit
        for hit in hits
    }
    with transaction.atomic():
        new = ledger.report(list(by_fact))
        if new:
            visits.store([(by_fact[fact], event_id) for fact, event_id in new])
