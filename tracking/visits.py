"""Keep what is known of each open and click, and who it was: the only writer of visits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Min, Q
from django.utils import timezone

from sending import bulk, ledger
from sending.ledger import FirstHits
from sending.models import Event, Message, Status
from tracking.agents import MAX_LENGTH, printable, read_agent
from tracking.countries import country_of
from tracking.hits import CLICKED, OPENED, Hit
from tracking.models import Relabelled, TrackedLink, Visit
from tracking.networks import truncated
from tracking.visitors import (
    BURST,
    BURST_LINKS,
    RULESET,
    SWEEP_SPAN,
    Click,
    Label,
    burst,
    classify,
    in_bursts,
    seconds_after,
)

NAMES = [field.name for field in Visit._meta.concrete_fields]
ATTRIBUTES = [field.attname for field in Visit._meta.concrete_fields]
# What the rules find out, as against what a hit came with.
# Of somebody who was forgotten, what it came with is gone: no rules can judge it anew.
FORGOTTEN = 32_767
FOUND = ("label", "is_human", "reasons", "ruleset", "client", "device", "system", "country")


def store(hits: Sequence[tuple[Hit, int]]) -> None:
    """Keep new hits with the ids of their events, and label them.

    Earlier clicks on the same messages get a new label where the new ones make them a burst.
    """
    new = [_visit(hit, event_id) for hit, event_id in hits]
    ids = {visit.message_id for visit in new}
    times = [visit.at for visit in new]
    near = (min(times) - SWEEP_SPAN, max(times) + SWEEP_SPAN)
    known = list(Visit.objects.filter(message_id__in=ids, kind=CLICKED, at__range=near))
    # What an earlier click came with has been judged; only its company is new.
    of_before = {visit.pk for visit in known}
    changed = _judge([*known, *new])
    bulk.insert(Visit, fields=NAMES, rows=[[getattr(one, it) for it in ATTRIBUTES] for one in new])
    _write([one for one in changed if one.pk in of_before and BURST in one.reasons])
    _keep_firsts(ids)


def relabel(message_ids: Collection[UUID]) -> int:
    """Label all hits on these messages by the rules of today; return how many labels changed."""
    with transaction.atomic():
        # Who stores a hit holds its message, and so do we: nobody writes beside us.
        ledger.hold(message_ids)
        of_messages = Visit.objects.filter(message_id__in=message_ids)
        changed = _judge(of_messages.exclude(ruleset=FORGOTTEN))
        _write(changed)
        _keep_firsts(message_ids)
        changed_ids = {visit.message_id for visit in changed}
        Relabelled.objects.bulk_create([Relabelled(message_id=one) for one in changed_ids])
    return len(changed)


def reconsider(message_ids: Collection[UUID]) -> int:
    """Label the hits on messages anew whose delivery was told only now; return how many changed.

    What came right after the delivery is a machine's, and may have been stored before it was told.
    """
    was_hit = Q(any_opened_at__isnull=False) | Q(any_clicked_at__isnull=False)
    hit = Message.objects.filter(was_hit, id__in=message_ids).values_list("id", flat=True)
    ids = list(hit)
    return relabel(ids) if ids else 0


def truncate_ips(*, before: datetime, limit: int) -> int:
    """Shorten the addresses of up to `limit` hits older than that; return how many there were."""
    with transaction.atomic():
        overdue = (
            Visit.objects.select_for_update(skip_locked=True, no_key=True)
            .filter(has_whole_ip=True, at__lt=before)
            .order_by("at")
            .values_list("event_id", "ip")[:limit]
        )
        by_network: dict[str, list[int]] = defaultdict(list)
        for event_id, ip in overdue:
            by_network[truncated(ip or "")].append(event_id)
        for network, ids in by_network.items():
            Visit.objects.filter(event_id__in=ids).update(ip=network or None, has_whole_ip=False)
    return sum(map(len, by_network.values()))


def forget(message_ids: Collection[UUID]) -> None:
    """Keep of the hits on these messages only what is counted."""
    Visit.objects.filter(message_id__in=message_ids).update(
        ip=None, has_whole_ip=False, user_agent="", purpose="", ruleset=FORGOTTEN
    )


def _visit(hit: Hit, event_id: int) -> Visit:
    """Return what a hit came with, unlabelled yet."""
    is_address = bool(truncated(hit.ip))
    return Visit(
        event_id=event_id,
        message_id=hit.message_id,
        kind=hit.kind,
        at=hit.at,
        link_id=hit.link_id,
        ip=hit.ip if is_address else None,
        has_whole_ip=is_address,
        user_agent=printable(hit.user_agent, length=MAX_LENGTH),
        method=printable(hit.method, length=10),
        has_accept=hit.has_accept,
        purpose=printable(hit.purpose, length=50),
        country=country_of(hit.ip),
    )


def _judge(visits: Iterable[Visit]) -> list[Visit]:
    """Label visits, all that are known of each message in the time they span; return the changed.

    Nothing is written.
    """
    of_message: dict[UUID, list[Visit]] = defaultdict(list)
    for visit in visits:
        of_message[visit.message_id].append(visit)
    handoffs = _handoffs(of_message)
    link_counts = _link_counts([one for one, its in of_message.items() if len(its) >= BURST_LINKS])
    changed = []
    for message_id, its in of_message.items():
        its.sort(key=lambda visit: visit.at)
        clicks = [visit for visit in its if visit.kind == CLICKED]
        places = in_bursts(
            [Click(one.at, one.link_id) for one in clicks], link_count=link_counts.get(message_id)
        )
        bursting = {clicks[place].pk for place in places}
        for visit in its:
            found = _found(visit, handoffs[message_id], is_burst=visit.pk in bursting)
            if any(getattr(visit, name) != value for name, value in found.items()):
                visit.__dict__.update(found)
                changed.append(visit)
    return changed


def _found(visit: Visit, handoff: dict[str, Any], *, is_burst: bool) -> dict[str, Any]:
    """Return what the rules of today say of a visit."""
    verdict = classify(
        kind=visit.kind,
        user_agent=visit.user_agent,
        ip=visit.ip or "",
        method=visit.method,
        has_accept=visit.has_accept,
        purpose=visit.purpose,
        seconds_after_handoff=seconds_after(visit.at, **handoff),
    )
    if is_burst:
        verdict = burst(verdict)
    agent = read_agent(visit.user_agent)
    return {
        "label": verdict.label.value,
        "is_human": verdict.is_human,
        "reasons": list(verdict.reasons),
        "ruleset": RULESET,
        "client": agent.client,
        "device": agent.device,
        "system": agent.system,
        # The address is the proxy's own.
        "country": "" if verdict.label == Label.PROXY else visit.country,
    }


def _handoffs(message_ids: Collection[UUID]) -> dict[UUID, dict[str, Any]]:
    """Return when the messages left, were taken and were delivered, as far as that is known."""
    left = Message.objects.filter(id__in=message_ids).values_list("id", "handed_off_at", "status")
    now = timezone.now()
    known: dict[UUID, dict[str, Any]] = {
        one: {
            "handed_off_at": handed_off_at,
            # The next hop has not answered yet: it reads the mail, or has a scanner read it.
            "accepted": [now] if status == Status.SENDING else [],
            "delivered": [],
        }
        for one, handed_off_at, status in left
    }
    told = Event.objects.filter(
        message_id__in=message_ids, kind__in=(Status.SENT, Status.DELIVERED)
    ).values_list("message_id", "kind", "occurred_at")
    for message_id, kind, at in told:
        known[message_id]["accepted" if kind == Status.SENT else "delivered"].append(at)
    return known


def _link_counts(message_ids: Collection[UUID]) -> dict[UUID, int]:
    """Return how many links the mails have that are tracked."""
    versions = dict(
        Message.objects.filter(id__in=message_ids, template_version__isnull=False).values_list(
            "id", "template_version_id"
        )
        if message_ids
        else []
    )
    counted = TrackedLink.objects.filter(template_version__in=set(versions.values()))
    counts = dict(
        counted.values_list("template_version").annotate(number=Count("pk")) if versions else []
    )
    return {one: counts[version] for one, version in versions.items() if version in counts}


def _write(visits: Iterable[Visit]) -> None:
    """Write what was found, with one statement for all of which the same was found."""
    groups: dict[str, list[Visit]] = defaultdict(list)
    for visit in visits:
        groups[repr([getattr(visit, name) for name in FOUND])].append(visit)
    for alike in groups.values():
        found = {name: getattr(alike[0], name) for name in FOUND}
        Visit.objects.filter(pk__in=[visit.pk for visit in alike]).update(**found)


def _keep_firsts(message_ids: Collection[UUID]) -> None:
    """Keep on the messages when they were opened and clicked first, by people and by anybody."""
    rows = (
        Visit.objects.filter(message_id__in=message_ids)
        .values_list("message_id")
        .annotate(
            opened_at=Min("at", filter=Q(kind=OPENED, is_human=True)),
            clicked_at=Min("at", filter=Q(kind=CLICKED, is_human=True)),
            any_opened_at=Min("at", filter=Q(kind=OPENED)),
            any_clicked_at=Min("at", filter=Q(kind=CLICKED)),
        )
    )
    ledger.keep_first_hits(
        {
            message_id: FirstHits(
                opened_at=opened_at,
                clicked_at=clicked_at,
                any_opened_at=any_opened_at,
                any_clicked_at=any_clicked_at,
            )
            for message_id, opened_at, clicked_at, any_opened_at, any_clicked_at in rows
        }
    )
