"""Count refused requests: the only writer of RefusedAccess.

Counts are kept in this process and stored every few seconds, so that a refusal costs no statement
and an attack cannot fill the disk: in each five minutes a limited number of callers is told apart,
and all others are one. What a process that is killed had not stored yet is lost.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, IPv6Network
from uuid import UUID

from django.db import Error
from django.db.models import F
from django.utils import timezone

from apikeys.addresses import IPAddress
from apikeys.later import Later
from apikeys.models import RefusedAccess

log = logging.getLogger(__name__)

BUCKET = timedelta(minutes=5)
# So many callers, keys and reasons are told apart in a bucket, by each process.
MAX_TOLD_APART = 100
# One IPv6 subscriber has a whole /64 (RFC 6177) and could change its address for every try.
IPV6_SUBSCRIBER_BITS = 64

Name = tuple[datetime, UUID | None, str, str]


def subscriber(address: IPAddress | None) -> str:
    """Return whom an address stands for: itself, or the /64 of an IPv6 one."""
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, IPV6_SUBSCRIBER_BITS), strict=False))
    return str(address or "unknown")


class Refusals:
    """The counts of this process that are not stored yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Name] = Counter()
        self._told_apart: set[Name] = set()
        self._bucket_at = datetime.min.replace(tzinfo=UTC)
        self._later = Later(self.flush)

    def note(self, *, reason: str, key_id: UUID | None, caller: str, now: datetime) -> None:
        """Count one refusal, and have it stored soon."""
        bucket_at = now - (now - datetime.min.replace(tzinfo=UTC)) % BUCKET
        with self._lock:
            if bucket_at != self._bucket_at:
                self._bucket_at = bucket_at
                self._told_apart.clear()
            name: Name = (bucket_at, key_id, caller, reason)
            if name not in self._told_apart:
                if len(self._told_apart) < MAX_TOLD_APART:
                    self._told_apart.add(name)
                else:
                    name = (bucket_at, None, "", reason)
            self._counts[name] += 1
        self._later.ask()

    def flush(self) -> None:
        """Store what was counted; what cannot be stored now is stored later."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        try:
            for name, number in sorted(counts.items(), key=str):
                _add(name, number)
                counts[name] = 0
        except Error as error:
            log.warning("Refused access could not be stored; trying again: %s", error)
            with self._lock:
                self._counts.update(+counts)


def _add(name: Name, number: int) -> None:
    bucket_at, key_id, address, reason = name
    row = RefusedAccess.objects.filter(
        bucket_at=bucket_at, key_id=key_id, address=address, reason=reason
    )
    if row.update(count=F("count") + number):
        return
    new = RefusedAccess(bucket_at=bucket_at, key_id=key_id, address=address, reason=reason)
    RefusedAccess.objects.bulk_create([new], ignore_conflicts=True)
    row.update(count=F("count") + number)


counted = Refusals()


def note(*, reason: str, key_id: UUID | None = None, address: IPAddress | None) -> None:
    """Count one refusal by its reason (at most 40 characters), the key and the address."""
    counted.note(reason=reason, key_id=key_id, caller=subscriber(address), now=timezone.now())
