"""Make what happened beside the mail: refused access, alerts, daily usage, lifted suppressions."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from random import Random
from uuid import UUID

from apikeys.models import DailyUsage, KeyNetwork, RefusedAccess
from billionmail.demo import cast
from billionmail.demo.cast import PARTS, SPARE, Part
from billionmail.demo.scene import PAUSED, REFUSED
from guard.models import Alert
from sending.models import LiftedSuppression, Suppression

BUCKET = timedelta(minutes=5)
NETWORK = "198.51.100.0/24"
STRANGERS = ("203.0.113.66", "203.0.113.91")
ACKNOWLEDGED_AFTER = timedelta(hours=2)


def make(*, now: datetime, usage: Counter[tuple[Part, date]], rng: Random) -> None:
    """Make all of it."""
    by_state = {part.state: part for part in PARTS}
    shop = PARTS[0]
    _refusals(now=now, shop=shop, old=by_state["revoked"], paused=by_state["paused"], rng=rng)
    _alerts(now=now, shop=shop, paused=by_state["paused"])
    KeyNetwork.objects.bulk_create(
        [KeyNetwork(key_id=part.id, network="192.0.2.0/24", first_at=_first(now)) for part in PARTS]
        + [KeyNetwork(key_id=shop.id, network=NETWORK, first_at=now - timedelta(hours=30))]
    )
    DailyUsage.objects.bulk_create(
        [
            DailyUsage(key_id=part.id, date=day, accepted=number)
            for (part, day), number in sorted(usage.items(), key=lambda one: one[0][1])
            if part.quota_per_day
        ]
    )
    _lifted(now=now)


def _first(now: datetime) -> datetime:
    return now - timedelta(days=60)


def _refusals(*, now: datetime, shop: Part, old: Part, paused: Part, rng: Random) -> None:
    """Let strangers knock, a revoked key be tried on, and a paused one all the time."""
    latest = now - (now - datetime.min.replace(tzinfo=now.tzinfo)) % BUCKET
    counted: Counter[tuple[datetime, UUID | None, str, str]] = Counter()
    for back in range(1, 14 * 24):
        at = latest - timedelta(hours=back)
        counted[at, old.id, "198.51.100.7", "revoked"] += rng.randint(1, 4)
        if back < 48:
            counted[at, paused.id, "192.0.2.44", "paused"] += rng.randint(20, 60)
        if rng.random() < 0.15:
            counted[at, None, rng.choice(STRANGERS), "unknown"] += rng.randint(1, 9)
    for step in range(12):
        burst_at = latest - timedelta(hours=26) + BUCKET * step
        counted[burst_at, None, STRANGERS[0], "unknown"] += rng.randint(150, 400)
        counted[burst_at, shop.id, "198.51.100.23", "network"] += rng.randint(5, 40)
    RefusedAccess.objects.bulk_create(
        [
            RefusedAccess(bucket_at=at, key_id=key, address=address, reason=reason, count=number)
            for (at, key, address, reason), number in counted.items()
        ],
        ignore_conflicts=True,
    )


def _alerts(*, now: datetime, shop: Part, paused: Part) -> None:
    """Open three alerts, and let one have been seen to."""
    kinds = Alert.Kind
    told = (
        (kinds.KEY_PAUSED, paused.name, f"{PAUSED} Its requests are refused until somebody "
         "resumes it.", paused.id, 47, 1, False),
        (kinds.ROUTE, SPARE, REFUSED, None, 3, 1, False),
        (kinds.NEW_NETWORK, f"{shop.name} from {NETWORK}", "If that is nobody of yours, rotate "
         "the secret of the key.", shop.id, 30, 1, False),
        (kinds.REFUSALS, f"{shop.name}: strangers", "412 in the last minutes. Refused access "
         "shows by whom and why.", shop.id, 26, 12, True),
    )  # fmt: skip
    rows = []
    for kind, subject, text, key, hours, count, is_seen in told:
        at = now - timedelta(hours=hours)
        seen_at = at + ACKNOWLEDGED_AFTER if is_seen else None
        rows.append(
            Alert(kind=kind, subject=subject, text=text, api_key_id=key, count=count, first_at=at,
                  last_at=at + BUCKET * (count - 1), acknowledged_at=seen_at)
        )  # fmt: skip
    Alert.objects.bulk_create(rows, ignore_conflicts=True)


def _lifted(*, now: datetime) -> None:
    notes = ("They wrote to us: the mailbox works again.", "A typing error in the import.")
    LiftedSuppression.objects.bulk_create(
        [
            LiftedSuppression(
                address=f"ada.berg{number}@{cast.MAILBOXES[0].domain}",
                reason=Suppression.Reason.HARD_BOUNCE,
                by=cast.MARK,
                created_at=now - timedelta(days=20 + number),
                lifted_at=now - timedelta(days=3 + number),
                lifted_by=cast.MARK,
                lift_note=note,
            )
            for number, note in enumerate(notes, 1)
        ]
    )
