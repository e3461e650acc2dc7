"""Look for what is abnormal, once a minute: pause keys that do harm, and open alerts.

Nothing here is asked while a request waits. Idempotent, so that every worker may do it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Sum

from apikeys.commands import pause_key
from apikeys.models import ApiKey, KeyNetwork, RefusedAccess
from guard.alerts import tell
from guard.models import Alert
from guard.reputation import Standing, busiest_hour, busy_keys, has_sent, standings
from sending import blocks
from sending.models import Message, Route, Status

# A condition that was away for so long is a new one.
QUIET = timedelta(hours=1)
RECENT = timedelta(minutes=10)
COMPARED = timedelta(days=28)
SPIKE_AT_LEAST = 500
# A mailing of one hour may have been counted as two halves.
SPIKE_TIMES = 2
HELD_BACK = 1000
MOST_BLOCKS = 100


def look(*, now: datetime) -> None:
    """Look at everything once."""
    pause_harmful_keys(now=now)
    tell_of_networks(now=now)
    tell_of_refusals(now=now)
    tell_of_spikes(now=now)
    tell_of_ways_out(now=now)
    oldest = now - timedelta(days=settings.REFUSED_ACCESS_DAYS)
    RefusedAccess.objects.filter(bucket_at__lt=oldest).delete()


def pause_harmful_keys(*, now: datetime) -> None:
    """Pause each key whose hard bounces or complaints pass what is allowed."""
    since = now - timedelta(hours=settings.KEY_PAUSE_HOURS)
    for standing in standings(since=since, at_least=settings.KEY_PAUSE_MIN_MESSAGES):
        reason = _harm(standing)
        if not reason:
            continue
        pause_key(key=standing.key, reason=reason)
        tell(
            Alert.Kind.KEY_PAUSED,
            subject=standing.key.name,
            text=f"{reason} Its requests are refused until somebody resumes it.",
            since=now,
            now=now,
            key_id=standing.key.pk,
        )


def _harm(standing: Standing) -> str:
    """Return which limit is passed, as a sentence for the callers of the key; empty for none."""
    limits = (
        ("bounced for good", standing.bounced, settings.KEY_PAUSE_BOUNCED_PERCENT),
        ("were complained of", standing.complained, settings.KEY_PAUSE_COMPLAINED_PERCENT),
    )
    for what, number, percent in limits:
        if number * 100 > percent * standing.tried:
            return (
                f"{number} of its last {standing.tried} messages {what} "
                f"({number * 100 / standing.tried:.2f} %, allowed are {percent:g} %)."
            )
    return ""


def tell_of_networks(*, now: datetime) -> None:
    """Tell of each network that a key is used from for the first time, but for its very first."""
    new = KeyNetwork.objects.filter(first_at__gt=now - QUIET).select_related("key")
    for one in new:
        if not KeyNetwork.objects.filter(key=one.key, first_at__lt=one.first_at).exists():
            continue
        tell(
            Alert.Kind.NEW_NETWORK,
            subject=f"{one.key.name} from {one.network}",
            text="If that is nobody of yours, rotate the secret of the key.",
            since=one.first_at,
            now=now,
            key_id=one.key_id,
        )


def tell_of_refusals(*, now: datetime) -> None:
    """Tell of each key, and of those without one, of which many requests are refused."""
    recent = RefusedAccess.objects.filter(bucket_at__gte=now - RECENT)
    counted = recent.order_by().values_list("key", "key__name").annotate(number=Sum("count"))
    for key_id, name, number in counted:
        if number >= settings.REFUSALS_ALERT:
            tell(
                Alert.Kind.REFUSALS,
                subject=name or "requests without a known key",
                text=f"{number} in the last minutes. Refused access shows by whom and why.",
                since=now - QUIET,
                now=now,
                key_id=key_id,
            )


def tell_of_spikes(*, now: datetime) -> None:
    """Tell of each key that sent far more in the last hour than in its busiest one before.

    So a mailing that is as large as the last one is none, and what a key sends that had been silent
    for weeks is one. The first weeks of a key have nothing to be compared with but themselves.
    """
    hour_ago = now - timedelta(hours=1)
    busy = busy_keys(since=hour_ago, at_least=SPIKE_AT_LEAST)
    for key in ApiKey.objects.filter(pk__in=busy):
        before = _told_of_before(
            key, since=hour_ago - COMPARED, until=hour_ago, number=busy[key.pk]
        )
        if before:
            tell(
                Alert.Kind.SPIKE,
                subject=key.name,
                text=f"{busy[key.pk]} messages in the last hour; {before}.",
                since=now - QUIET,
                now=now,
                key_id=key.pk,
            )


def _told_of_before(key: ApiKey, *, since: datetime, until: datetime, number: int) -> str:
    """Return what makes so many in an hour a spike; empty when they are none."""
    busiest = busiest_hour(key, since=since, until=until)
    if busiest is not None:
        return "" if number <= SPIKE_TIMES * busiest else f"its busiest one before had {busiest}"
    return "it had sent nothing for weeks" if has_sent(key, until=since) else ""


def tell_of_ways_out(*, now: datetime) -> None:
    """Tell of paused routes, of domains that refuse us, and of limits that hold much mail back."""
    for route in Route.objects.filter(paused_at__isnull=False, is_active=True):
        since = route.paused_at or now
        text = route.paused_reason
        tell(Alert.Kind.ROUTE, subject=route.name, text=text, since=since, now=now)
    for block in blocks.lasting(now=now, limit=MOST_BLOCKS):
        subject = f"{block.recipient_domain} refuses {block.sender_domain}"
        text = block.reply
        tell(Alert.Kind.POLICY, subject=subject, text=text, since=block.first_at, now=now)
    held = Message.objects.filter(status=Status.DEFERRED, is_limited=True)[:HELD_BACK].count()
    if held >= HELD_BACK:
        tell(
            Alert.Kind.LIMIT,
            subject="waiting mail",
            text=f"{HELD_BACK} messages or more wait for a limit. The limits show what is used.",
            since=now - QUIET,
            now=now,
        )
