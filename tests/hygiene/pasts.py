"""Make addresses with a past: how much mail they got, and what became of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from sending.models import Message, SendingProfile, Status, first_id_since, new_message_id
from tests.factories.sending import MessageFactory


def mail(
    profile: SendingProfile, recipient: str, *, days: float, status: Status, **fields: Any
) -> Message:
    """Store a tracked message that was accepted so many days ago."""
    at = timezone.now() - timedelta(days=days)
    return MessageFactory.create(
        profile=profile,
        id=id_at(at),
        recipient=recipient,
        accepted_at=at,
        status=status,
        track_opens=True,
        **fields,
    )


def id_at(moment: datetime) -> UUID:
    """Return an id as one of a message accepted then."""
    return UUID(int=first_id_since(moment).int | new_message_id().int & (1 << 80) - 1)
