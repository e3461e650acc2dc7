"""Send a recipient no more bulk mail than so much a day and a week: the only writer of places.

A mail takes its place when it is claimed, one worker after the other, so that two which hold mail
to the same recipient at the same moment know of each other. A place counts while its mail waits or
is on its way, and a day or a week from the hand-off on if it left; that of a mail which ended
without having left counts no more. Who sends without a cap is asked nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from sending.ledger import database_now
from sending.models import BulkPlace, Message, SendingProfile, Status, Stream
from sending.models.message import WAITING
from sending.models.suppression import Reason
from sending.screening import Verdict, key_of

DAY, WEEK = timedelta(days=1), timedelta(days=7)
TO_COME = (*WAITING, Status.SENDING)
# The recipient has it, or may have it.
CAME = (Status.SENT, Status.DELIVERED, Status.COMPLAINED, Status.UNKNOWN)
TURN = 0x0CA9_0CA9  # any number that no other advisory lock has

Profiles = Mapping[UUID, SendingProfile]


@dataclass(frozen=True, slots=True)
class Cap:
    """So many bulk mails within a span."""

    most: int
    span: timedelta

    def __str__(self) -> str:
        return f"{self.most} bulk mails in {'24 hours' if self.span == DAY else '7 days'}"


class _Place(NamedTuple):
    """A mail that counts: `left_at` is None until it has left."""

    message_id: UUID
    left_at: datetime | None


def caps_of(profile: SendingProfile | None) -> list[Cap]:
    """Return what holds for the bulk mail of a key; what it leaves open is the installation's."""
    day, week = (profile.bulk_per_day, profile.bulk_per_week) if profile else (None, None)
    both = (
        Cap(settings.BULK_CAP_PER_DAY if day is None else day, DAY),
        Cap(settings.BULK_CAP_PER_WEEK if week is None else week, WEEK),
    )
    return [cap for cap in both if cap.most]


def take_places(messages: Iterable[Message], profiles: Profiles) -> dict[UUID, Verdict]:
    """Return the verdicts on those of claimed messages that are over the cap; the others may go.

    Asks nothing when no cap is about any of them. Idempotent: a message that is claimed again
    keeps its place if that is still within the cap.
    """
    counted = [
        one
        for one in messages
        if one.stream == Stream.BULK and _has_cap(profiles.get(one.api_key_id))
    ]
    if not counted:
        return {}
    with transaction.atomic():
        _wait_for_turn()
        now = database_now()
        places = _places({key_of(one.recipient) for one in counted})
        over: dict[UUID, Verdict] = {}
        for message in sorted(counted, key=lambda one: one.id):
            address = key_of(message.recipient)
            others = [place for place in places[address] if place.message_id != message.id]
            verdict = _verdict(address, others, profiles.get(message.api_key_id), now=now)
            if verdict is None:
                places[address] = [*others, _Place(message.id, None)]
            else:
                places[address] = others
                over[message.id] = verdict
        BulkPlace.objects.bulk_create(
            [
                BulkPlace(message=one, address=key_of(one.recipient), taken_at=now)
                for one in counted
                if one.id not in over
            ],
            ignore_conflicts=True,
        )
    return over


def would_exceed(addresses: Collection[str], profile: SendingProfile) -> dict[str, Verdict]:
    """Return a verdict for each of the case-folded addresses that has enough bulk mail now."""
    if profile.stream != Stream.BULK or not caps_of(profile):
        return {}
    now, places = database_now(), _places(addresses)
    found = {one: _verdict(one, places.get(one, ()), profile, now=now) for one in addresses}
    return {address: verdict for address, verdict in found.items() if verdict is not None}


def forget_old(*, limit: int) -> int:
    """Remove up to `limit` places that count no more; return how many there were."""
    old = BulkPlace.objects.filter(taken_at__lt=Now() - WEEK).exclude(
        Q(message__status__in=TO_COME) | Q(message__handed_off_at__gt=Now() - WEEK)
    )
    ids = list(old.order_by("taken_at").values_list("pk", flat=True)[:limit])
    return BulkPlace.objects.filter(pk__in=ids).delete()[0] if ids else 0


def _has_cap(profile: SendingProfile | None) -> bool:
    """Tell whether any cap is about the bulk mail of a key, be it that of the others only."""
    return bool(settings.BULK_CAP_PER_DAY or settings.BULK_CAP_PER_WEEK or caps_of(profile))


def _wait_for_turn() -> None:
    """Let no other worker decide until this transaction ends; SQLite has one writer anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [TURN])


def _places(addresses: Collection[str]) -> defaultdict[str, list[_Place]]:
    counts = Q(message__status__in=TO_COME) | Q(
        message__status__in=CAME, message__handed_off_at__gt=Now() - WEEK
    )
    rows = BulkPlace.objects.filter(counts, address__in=addresses).values_list(
        "address", "message_id", "message__status", "message__handed_off_at"
    )
    found: defaultdict[str, list[_Place]] = defaultdict(list)
    for address, message_id, status, handed_off_at in rows:
        has_left = status not in TO_COME
        found[address].append(_Place(message_id, handed_off_at if has_left else None))
    return found


def _verdict(
    address: str, places: Sequence[_Place], profile: SendingProfile | None, *, now: datetime
) -> Verdict | None:
    for cap in caps_of(profile):
        since = now - cap.span
        if sum(one.left_at is None or one.left_at > since for one in places) >= cap.most:
            return Verdict(address, Reason.FREQUENCY_CAP, str(cap))
    return None
