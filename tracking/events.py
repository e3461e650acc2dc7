"""Turn what reaches us about a message into facts of the one event log."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from django.db import transaction
from django.db.models import Count

from sending import ledger
from sending.ledger import Fact
from tracking import visits
from tracking.hits import Hit
from tracking.models import Visit

MAX_HITS = 1000

log = logging.getLogger(__name__)


def record_hits(hits: Sequence[Hit]) -> None:
    """Write opens and clicks to the log and keep who it was, in one transaction.

    Idempotent by the key of each hit. Hits on messages that are not here are left out, and those on
    a message that has `MAX_HITS`: a link can be followed by a program for ever.
    """
    by_fact = {
        Fact(
            message_id=hit.message_id,
            kind=hit.kind,
            occurred_at=hit.at,
            key=f"hit:{hit.key}",
            detail=hit.url,
        ): hit
        for hit in _bounded(hits)
    }
    with transaction.atomic():
        new = ledger.report(list(by_fact))
        if new:
            visits.store([(by_fact[fact], event_id) for fact, event_id in new])


def _bounded(hits: Sequence[Hit]) -> list[Hit]:
    visits = Visit.objects.filter(message_id__in={hit.message_id for hit in hits})
    counts = Counter(dict(visits.values_list("message_id").annotate(Count("pk")).order_by()))
    bounded = []
    for hit in hits:
        if counts[hit.message_id] < MAX_HITS:
            bounded.append(hit)
        elif counts[hit.message_id] == MAX_HITS:
            log.warning("Message %s has %d hits; no more are kept.", hit.message_id, MAX_HITS)
        counts[hit.message_id] += 1
    return bounded
