"""Create, rotate, revoke and pause keys, and count what they use."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, Q

from apikeys import refusals, tokens
from apikeys.addresses import IPAddress, canonical_networks
from apikeys.errors import KeyRevoked, QuotaExceeded
from apikeys.models import ApiKey, ApiKeySecret, DailyUsage, Scope

NOTE_USE_EVERY = timedelta(minutes=1)


def create_key(
    *,
    name: str,
    scopes: Iterable[str] = (Scope.SEND,),
    networks: Iterable[str] = (),
    expires_at: datetime | None = None,
    rate_per_second: int | None = None,
    quota_per_day: int | None = None,
    created_by: Any = None,
    now: datetime,
) -> tuple[ApiKey, str]:
    """Store a key and return it with its secret, which is not shown again.

    Raises ValidationError, by field, with a text for the person who asked.
    """
    try:
        stored_networks = canonical_networks(networks)
    except ValueError as error:
        raise ValidationError({"networks": str(error)}) from error
    key = ApiKey(
        name=name,
        scopes=[str(scope) for scope in scopes],
        networks=stored_networks,
        expires_at=expires_at,
        rate_per_second=rate_per_second,
        quota_per_day=quota_per_day,
        created_by=created_by,
        created_at=now,
    )
    key.full_clean()
    with transaction.atomic():
        key.save(force_insert=True)
        return key, issue_secret(key=key, now=now)


def issue_secret(*, key: ApiKey, now: datetime) -> str:
    """Give a key that has none its newest secret and return it, this one time."""
    token = tokens.new_token()
    ApiKeySecret.objects.create(
        key=key, prefix=token.prefix, digest=tokens.digest(token.random_part), created_at=now
    )
    return token.text


def rotate_key(*, key: ApiKey, grace: timedelta, now: datetime) -> str:
    """Return a new secret, this one time; the one before it keeps working for `grace`.

    A secret that was still in the grace of an earlier rotation ends now, so that never more than
    two are alive. Raises KeyRevoked, and ValueError for a negative grace.
    """
    if grace < timedelta(0):
        raise ValueError("The grace period cannot be negative.")
    with transaction.atomic():
        # The lock makes two rotations at once follow one another.
        locked = ApiKey.objects.select_for_update().get(pk=key.pk)
        if locked.revoked_at is not None:
            raise KeyRevoked(locked.name)
        unrevoked = ApiKeySecret.objects.filter(key=locked, revoked_at=None)
        unrevoked.filter(expires_at__gt=now).update(revoked_at=now)
        unrevoked.filter(expires_at=None).update(expires_at=now + grace)
        return issue_secret(key=locked, now=now)


def revoke_key(*, key: ApiKey, now: datetime) -> None:
    """Refuse the key and all its secrets, at once and for ever. Idempotent."""
    with transaction.atomic():
        unrevoked_key = ApiKey.objects.filter(pk=key.pk, revoked_at=None)
        unrevoked_key.update(is_active=False, revoked_at=now)
        ApiKeySecret.objects.filter(key_id=key.pk, revoked_at=None).update(revoked_at=now)


def pause_key(*, key: ApiKey, reason: str) -> None:
    """Refuse the key, telling its callers the reason, until an operator resumes it.

    Idempotent: a key that is paused keeps its first reason.
    """
    if not reason.strip():
        raise ValueError("Say why the key is paused: its callers read it.")
    ApiKey.objects.filter(pk=key.pk, paused_reason="").update(paused_reason=reason.strip())


def resume_key(*, key: ApiKey, now: datetime) -> bool:
    """Let a paused key in again; return whether it was paused.

    What it sent until now is not held against it again.
    """
    paused = ApiKey.objects.filter(pk=key.pk).exclude(paused_reason="")
    return bool(paused.update(paused_reason="", resumed_at=now))


def take_quota(*, key: ApiKey, count: int, now: datetime) -> None:
    """Count `count` messages against the key's quota of this UTC day, all or none.

    Call it inside the transaction that stores the messages: a rollback gives the quota back. A
    key without a quota is not counted. Raises QuotaExceeded.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError(
            "take_quota() counts inside the transaction that stores the messages."
        )
    quota = key.quota_per_day
    if quota is None or count == 0:
        return
    today = now.astimezone(UTC).date()
    if _count_within(quota, key=key, count=count, today=today):
        return
    # Either the first messages of the day, or too many.
    DailyUsage.objects.bulk_create([DailyUsage(key=key, date=today)], ignore_conflicts=True)
    if not _count_within(quota, key=key, count=count, today=today):
        refusals.note(reason="quota", key_id=key.pk, address=None)
        raise _quota_exceeded(quota, key=key, count=count, now=now)


def check_quota(*, key: ApiKey, count: int, now: datetime) -> None:
    """Raise QuotaExceeded if `take_quota` would; count nothing."""
    if key.quota_per_day is None or count == 0:
        return
    if _used(key=key, now=now) + count > key.quota_per_day:
        raise _quota_exceeded(key.quota_per_day, key=key, count=count, now=now)


def _count_within(quota: int, *, key: ApiKey, count: int, today: date) -> bool:
    # One statement, so the database itself decides between callers at the same time.
    usage = DailyUsage.objects.filter(key=key, date=today, accepted__lte=quota - count)
    return usage.update(accepted=F("accepted") + count) == 1


def _used(*, key: ApiKey, now: datetime) -> int:
    today = DailyUsage.objects.filter(key=key, date=now.astimezone(UTC).date()).first()
    return today.accepted if today else 0


def _quota_exceeded(quota: int, *, key: ApiKey, count: int, now: datetime) -> QuotaExceeded:
    remaining = max(quota - _used(key=key, now=now), 0)
    today = now.astimezone(UTC).date()
    midnight = datetime.combine(today + timedelta(days=1), time.min, tzinfo=UTC)
    advice = "Split the request." if count > quota else "Try again after midnight UTC."
    return QuotaExceeded(
        f"Too many messages: this API key may send {quota} a day and has {remaining} left, "
        f"but the request asks for {count}. {advice}",
        retry_after_seconds=math.ceil((midnight - now).total_seconds()),
        limit=quota,
        remaining=remaining,
    )


def note_use(*, key: ApiKey, address: IPAddress | None, now: datetime) -> None:
    """Remember when and from where the key was used, at most once a minute."""
    before = now - NOTE_USE_EVERY
    if key.last_used_at is not None and key.last_used_at > before:
        return
    # Asked again in the statement: another request may have noted it since the key was read.
    due = Q(last_used_at=None) | Q(last_used_at__lte=before)
    key.last_used_at = now  # the key is remembered for a moment, see `apikeys.recent`
    ApiKey.objects.filter(due, pk=key.pk).update(
        last_used_at=now, last_used_address=str(address) if address else None
    )
