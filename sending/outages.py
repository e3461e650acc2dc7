"""Remember which routes cannot be used now: the only writer of a route's pauses and outages.

A route that cannot be reached is *down* for some seconds: keys with another route take that. A
route whose next hop refuses us as such (credentials, certificate) is *paused*: nothing goes there
until a person resumes it or a single message, let through now and then, gets past the sign-in.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import Q

from sending.models import Route

log = logging.getLogger(__name__)

DOWN_SECONDS = (30, 60, 120, 300)
PAUSE_SECONDS = (60, 120, 300, 600, 1800, 3600)
MAX_FAILURE_COUNT = 1000
REASON_LENGTH = 500
IN_ORDER = {
    "paused_at": None,
    "paused_until": None,
    "paused_reason": "",
    "down_until": None,
    "down_reason": "",
    "failure_count": 0,
}

# The routes that this process has seen in trouble: only after those is a success worth a statement.
_in_trouble: set[int] = set()


def watch(route: Route) -> None:
    """Have the next success of a route that had trouble written down."""
    if route.failure_count or route.is_paused():
        _in_trouble.add(route.pk)


def pause(route: Route, *, reason: str, now: datetime) -> None:
    """Send nothing by this route until it is resumed; idempotent while the pause lasts."""
    _in_trouble.add(route.pk)
    reason = reason[:REASON_LENGTH]
    row = Route.objects.filter(pk=route.pk)
    is_new = row.filter(paused_at=None).update(
        paused_at=now,
        paused_until=now + _lasting(PAUSE_SECONDS, 0),
        paused_reason=reason,
        failure_count=1,
    )
    if is_new:
        log.error(
            "The route %s is paused, its mail waits or takes another: %s. "
            "Correct the route, then resume it in the dashboard.",
            route,
            reason,
        )
    else:
        row.exclude(paused_reason=reason).update(paused_reason=reason)


def mark_down(route: Route, *, reason: str, now: datetime) -> None:
    """Prefer other routes for a while, longer each time in a row; idempotent meanwhile."""
    _in_trouble.add(route.pk)
    stored = Route.objects.filter(pk=route.pk).first()
    if stored is None or stored.is_down(now=now):
        return
    Route.objects.filter(pk=route.pk, down_until=stored.down_until).update(
        down_until=now + _lasting(DOWN_SECONDS, stored.failure_count),
        down_reason=reason[:REASON_LENGTH],
        failure_count=min(stored.failure_count + 1, MAX_FAILURE_COUNT),
    )


def take_probe(route: Route, *, now: datetime) -> bool:
    """Tell whether one message may try a paused route now; only one caller hears yes."""
    if route.paused_until is None or route.paused_until > now:
        return False
    # As what was read: who comes second finds another time.
    as_read = Route.objects.filter(pk=route.pk, paused_until=route.paused_until)
    count = min(route.failure_count + 1, MAX_FAILURE_COUNT)
    until = now + _lasting(PAUSE_SECONDS, route.failure_count)
    return bool(as_read.update(paused_until=until, failure_count=count))


def note_success(route: Route, *, started_at: datetime) -> bool:
    """Note that the next hop let us in by this route; return whether that ended a pause.

    Only a try that began within the pause ends it: an older connection may outlive a password.
    """
    if route.id not in _in_trouble:
        return False
    _in_trouble.discard(route.pk)
    row = Route.objects.filter(pk=route.pk)
    if row.filter(paused_at__lte=started_at).update(**IN_ORDER):
        log.warning("The route %s is used again: its next hop let us in.", route)
        return True
    # It stays down for as long as was said, lest a message comes back to it again and again.
    row.filter(paused_at=None).update(failure_count=0)
    return False


def resume(route: Route) -> bool:
    """Use the route again, whatever was wrong with it; return whether it was paused."""
    was_paused = Route.objects.filter(pk=route.pk, paused_at__isnull=False).exists()
    Route.objects.filter(pk=route.pk).update(**IN_ORDER)
    for name, value in IN_ORDER.items():
        setattr(route, name, value)
    return was_paused


def in_trouble(*, now: datetime) -> list[Route]:
    """Return the active routes that are paused or down now, by name."""
    troubled = Q(paused_at__isnull=False) | Q(down_until__gt=now)
    return list(Route.objects.filter(troubled, is_active=True).order_by("name"))


def why_paused(route: Route) -> str:
    """Return how the reason of a message begins that waits for a paused route."""
    return f"The route {route} is paused: "


def _lasting(steps: Sequence[int], count: int) -> timedelta:
    return timedelta(seconds=steps[min(count, len(steps) - 1)])
