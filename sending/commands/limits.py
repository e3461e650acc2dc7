"""Change how fast mail may leave; what waits for a limit asks again under the new ones."""

from __future__ import annotations

from django.db import transaction

from sending import ledger
from sending.models import Limit, SlowDown, WarmUp
from sending.tasks import ring


def save_limit(*, limit: Limit | WarmUp) -> int:
    """Store a limit or a warm-up; return how many messages ask again because of it."""
    with transaction.atomic():
        limit.save()
        return _ask_again()


def delete_limit(*, limit: Limit | WarmUp) -> int:
    """Delete a limit or a warm-up; return how many messages ask again because of it."""
    with transaction.atomic():
        limit.delete()
        return _ask_again()


def end_slow_down(*, slow_down: SlowDown) -> int:
    """Send at the full rate again at once; return how many messages ask again because of it."""
    with transaction.atomic():
        slow_down.delete()
        return _ask_again()


def _ask_again() -> int:
    waiting = ledger.hasten_limited()
    transaction.on_commit(ring)
    return waiting
