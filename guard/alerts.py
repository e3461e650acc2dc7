"""Open and acknowledge alerts: the only writer of Alert."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F

from guard import notices
from guard.models import Alert

log = logging.getLogger(__name__)


def tell(
    kind: Alert.Kind,
    *,
    subject: str,
    text: str,
    since: datetime,
    now: datetime,
    key_id: UUID | None = None,
) -> bool:
    """Open an alert about something that goes on since then; return whether it is a new one.

    The same told again, open or acknowledged, is no other alert while it goes on. Idempotent.
    """
    alike = Alert.objects.filter(kind=kind, subject=subject)
    if alike.filter(last_at__gte=since).exclude(acknowledged_at=None).update(last_at=now):
        return False
    is_open = alike.filter(acknowledged_at=None)
    if is_open.filter(last_at__gte=since).update(last_at=now, text=text):
        return False
    if is_open.update(last_at=now, text=text, count=F("count") + 1):
        return False
    new = Alert(kind=kind, subject=subject, text=text, api_key_id=key_id, first_at=now, last_at=now)
    try:
        with transaction.atomic():
            new.save()
            notices.note(new, now=now)
    except IntegrityError:  # another worker has just told the same
        return False
    log.warning("%s: %s. %s", kind.label, subject, text)
    return True


def acknowledge(ids: Iterable[int], *, by: Any, now: datetime) -> int:
    """Note that a person has seen to these alerts; return how many were open."""
    is_open = Alert.objects.filter(pk__in=list(ids), acknowledged_at=None)
    return is_open.update(acknowledged_at=now, acknowledged_by=by)


def open_alerts(*, limit: int) -> list[Alert]:
    """Return the alerts that nobody has seen to, the newest first."""
    return list(Alert.objects.filter(acknowledged_at=None).order_by("-last_at", "-id")[:limit])
