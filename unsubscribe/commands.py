"""Carry out a recipient's no."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from sending import ledger
from sending.addresses import parse_address
from sending.models import Message, Suppression
from sending.suppressions import suppress
from unsubscribe.models import Unsubscribe


def unsubscribe(message: Message, *, method: Unsubscribe.Method, now: datetime) -> bool:
    """Send this recipient nothing more; return whether that is new. Idempotent, all or nothing."""
    with transaction.atomic():
        _, is_new = Unsubscribe.objects.get_or_create(
            message=message, defaults={"method": method, "created_at": now}
        )
        suppress(
            parse_address(message.recipient).suppression_key,
            reason=Suppression.Reason.UNSUBSCRIBED,
            now=now,
            source=message,
        )
        if is_new:
            ledger.report(
                [
                    ledger.Fact(
                        message_id=message.id,
                        kind="unsubscribed",
                        occurred_at=now,
                        key="",
                        detail=f"By {method.label}.",
                    )
                ]
            )
    return is_new
