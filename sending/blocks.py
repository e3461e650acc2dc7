"""Remember which domains refuse our mail as such: the only writer of the sender's blocks.

Such a refusal (policy, reputation, authentication) is about us: it never counts against the
address, but somebody has to see it, because every further mail makes it worse.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F

from sending.models import SenderBlock

log = logging.getLogger(__name__)

# Without a refusal for so long, it is over.
LASTING = timedelta(hours=24)
REPLY_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal by policy: of which sender domain, by which recipient domain, in which words."""

    sender_domain: str
    recipient_domain: str
    reply: str


def note(refusals: Sequence[Refusal], *, now: datetime) -> None:
    """Count refusals by policy; log an error when a domain begins with it."""
    replies = {(one.sender_domain, one.recipient_domain): one.reply for one in refusals}
    counted = Counter((one.sender_domain, one.recipient_domain) for one in refusals)
    for (sender, recipient), number in sorted(counted.items()):
        reply = replies[sender, recipient].replace("\x00", "")[:REPLY_LENGTH]
        row = SenderBlock.objects.filter(sender_domain=sender, recipient_domain=recipient)
        lasting = row.filter(last_at__gt=now - LASTING)
        if lasting.update(count=F("count") + number, last_at=now, reply=reply):
            continue
        SenderBlock.objects.update_or_create(
            sender_domain=sender,
            recipient_domain=recipient,
            defaults={"count": number, "first_at": now, "last_at": now, "reply": reply},
        )
        log.error(
            "%s refuses mail from %s by its policy: %s. Check SPF, DKIM and DMARC of the sender "
            "domain, and what is sent; no address was suppressed for it.",
            recipient,
            sender,
            reply,
        )


def lasting(*, now: datetime, limit: int) -> list[SenderBlock]:
    """Return the blocks of the last day, those with the most refusals first."""
    rows = SenderBlock.objects.filter(last_at__gt=now - LASTING)
    return list(rows.order_by("-count", "sender_domain", "recipient_domain")[:limit])
