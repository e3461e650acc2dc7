"""Keep mail within its limits, over all workers together.

`admit` is asked once for all the messages of a claim. Limits of a second, a minute or an hour are
token buckets in Redis (`buckets`), those of a day are counted in the database (`daily`). What is
limited stands in the database as well (`rules`), as does what slowed down by itself (`slowing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sending.models import SlowDown
from sending.pacing.admission import Pacing, Wait
from sending.pacing.rules import Want

__all__ = ["Pacing", "Wait", "Want", "admit", "pause_seconds", "slow_down"]

_own = Pacing()


def admit(wants: Sequence[Want], *, now: datetime) -> list[Wait | None]:
    """Return for each message None when it may go now, else how long it waits and why."""
    return _own.admit(wants, now=now)


def slow_down(
    *, recipient_domain: str = "", route_id: int | None = None, reply: str, now: datetime
) -> SlowDown | None:
    """Halve the rate to the provider of a domain, or by a route; None if that just happened."""
    return _own.slow_down(
        recipient_domain=recipient_domain, route_id=route_id, reply=reply, now=now
    )


def pause_seconds(longest: float) -> float:
    """Return how long to wait before looking for due messages again, `longest` at the most."""
    return _own.pause_seconds(longest)
