"""Give and lift standing orders: the only writer of them. `sending.screening` decides by them.

An order also takes what it forbids out of the queue, twice: in its own transaction, so that no
message that waits for a connection gets its hand-off after the order is there; and once more when
it is committed, for what was accepted and claimed meanwhile by transactions that could not see it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeGuard

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from sending import ledger
from sending.addresses import InvalidAddress, parse_address
from sending.errors import TooManyRules
from sending.models import LiftedSuppression, Message, Suppression
from sending.models.suppression import BROAD, Kind, Reason
from sending.pseudonyms import is_pseudonym, pseudonym, pseudonyms
from sending.screening import PATTERN, TELLS, Verdict, decide, examine, is_broad, key_of

__all__ = [
    "TELLS",
    "NewOrder",
    "Verdict",
    "decide",
    "examine",
    "forget",
    "history",
    "key_of",
    "kind_of",
    "lift",
    "lift_many",
    "names_of",
    "read_rule",
    "suppress",
    "suppress_many",
]

# Broad rules are compared with every recipient of every call, one after the other.
MAX_BROAD = 500
MAX_STARS = 4
MAX_RULE = 320
WRITTEN_AT_ONCE = 1000
MAX_NOTE = 500
MAX_BY = 150
MAX_HISTORY = 100
BOUNCES = frozenset({Reason.HARD_BOUNCE, Reason.SOFT_BOUNCES})
ORDER_FIELDS = (
    "address",
    "kind",
    "reason",
    "source_message_id",
    "note",
    "by",
    "created_at",
    "expires_at",
)

_STANDING = ("address", "reason", "expires_at", "source_message_id", "by", "is_repeated")

OrderKey = tuple[str, Reason]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """An order as it is given; `address` is a rule as `read_rule` returns it."""

    address: str
    reason: Reason
    note: str = ""
    by: str = ""
    source: Message | None = None
    expires_at: datetime | None = None


def read_rule(text: str) -> str:
    """Return an address, ``@domain``, ``.domain`` or ``pattern:text`` as it is stored.

    Raises InvalidAddress, which says what is wrong.
    """
    text = text.strip()
    if text.casefold().startswith(PATTERN):
        return _pattern(text[len(PATTERN) :].strip().casefold())
    if text.startswith("@."):
        raise InvalidAddress("Write .example.com for a domain and its sub-domains.")
    if text.startswith(("@", ".")):
        return text[0] + parse_address(f"postmaster@{text[1:]}").domain
    return parse_address(text).suppression_key


def _pattern(text: str) -> str:
    stars = text.count("*")
    if not 1 <= stars <= MAX_STARS:
        raise InvalidAddress(f"A pattern has one to {MAX_STARS} stars, such as pattern:*@spam*.")
    if len(text.replace("*", "").replace("@", "").replace(".", "")) < 2:
        raise InvalidAddress("The pattern is about nearly everybody: give at least two letters.")
    if len(PATTERN + text) > MAX_RULE or not text.isprintable() or " " in text:
        raise InvalidAddress(f"A pattern has at most {MAX_RULE} characters and no blanks.")
    return PATTERN + text


def kind_of(rule: str) -> Kind:
    """Return whom a stored rule is about."""
    if rule.startswith(PATTERN):
        return Kind.PATTERN
    if is_pseudonym(rule):
        return Kind.PSEUDONYM
    return {"@": Kind.DOMAIN, ".": Kind.SUBDOMAINS}.get(rule[:1], Kind.ADDRESS)


def suppress(
    address: str,
    *,
    reason: Reason,
    now: datetime,
    source: Message | None = None,
    note: str = "",
    by: str = "",
    expires_at: datetime | None = None,
) -> bool:
    """Order that `address` (or another rule) gets no mail; return whether that is new. Idempotent.

    An order that stands keeps its time, unless the new one lasts longer, and remembers that it was
    given from elsewhere too. When this returns, or the
    transaction around it is committed, no mail to the address leaves any more.
    """
    order = NewOrder(
        address=address.strip().casefold(),
        reason=reason,
        note=note,
        by=by,
        source=source,
        expires_at=expires_at,
    )
    return suppress_many([order], now=now) == 1


def suppress_many(orders: Iterable[NewOrder], *, now: datetime) -> int:
    """Give many orders, all or none; return how many are new. As `suppress`."""
    wanted: dict[OrderKey, NewOrder] = {}
    for order in orders:
        wanted.setdefault((order.address, order.reason), order)
    if not wanted:
        return 0
    with transaction.atomic():
        _require_few_broad(wanted.values())
        standing = _standing(wanted, now=now)
        # In one order, so that two who give many at once do not wait for each other for ever.
        new = [order for key, order in sorted(wanted.items()) if key not in standing]
        Suppression.objects.bulk_create(
            [_row(order, now=now) for order in new],
            batch_size=WRITTEN_AT_ONCE,
            ignore_conflicts=True,  # somebody else may give the same order at this moment
        )
        for key in wanted.keys() & standing.keys():
            _give_again(wanted[key], standing[key])
        _withdraw(wanted.values())
    return len(new)


def lift(
    address: str,
    *,
    reason: Reason | None = None,
    now: datetime | None = None,
    by: str = "",
    note: str = "",
) -> bool:
    """End the orders about `address`, or that of one reason; return whether there was one."""
    found = Suppression.objects.filter(address__in=names_of(address))
    if reason is not None:
        found = found.filter(reason=reason)
    return lift_many(found, now=now or timezone.now(), by=by, note=note) > 0


def lift_many(orders: QuerySet[Suppression], *, now: datetime, by: str = "", note: str = "") -> int:
    """End orders, and keep what they said in the history; return how many there were."""
    with transaction.atomic():
        ended = list(orders.select_for_update().order_by("id"))
        LiftedSuppression.objects.bulk_create(
            [
                LiftedSuppression(
                    **{name: getattr(order, name) for name in ORDER_FIELDS},
                    lifted_at=now,
                    lifted_by=by[:MAX_BY],
                    lift_note=note[:MAX_NOTE],
                )
                for order in ended
            ],
            batch_size=WRITTEN_AT_ONCE,
        )
        Suppression.objects.filter(pk__in=[order.pk for order in ended]).delete()
    return len(ended)


def history(address: str) -> list[LiftedSuppression]:
    """Return the orders about `address` that were lifted or have expired, the newest first."""
    ended = LiftedSuppression.objects.filter(address__in=names_of(address))
    return list(ended.order_by("-id")[:MAX_HISTORY])


def names_of(rule: str) -> list[str]:
    """Return under what the orders about a rule may stand: an address has pseudonyms too."""
    rule = rule.strip().casefold()
    return [rule, *pseudonyms(rule)] if kind_of(rule) == Kind.ADDRESS else [rule]


def forget(address: str, *, now: datetime, by: str) -> str:
    """Let the orders about a case-folded address stand under its pseudonym; return that.

    One more says that the person has asked for it. What was noted about the address goes, as does
    what waits in the queue for it. Idempotent.
    """
    hidden = pseudonym(address)
    with transaction.atomic():
        known = set(Suppression.objects.filter(address=hidden).values_list("reason", flat=True))
        Suppression.objects.filter(address=address, reason__in=known).delete()
        Suppression.objects.filter(address=address).update(
            address=hidden, kind=Kind.PSEUDONYM, note=""
        )
        LiftedSuppression.objects.filter(address=address).update(
            address=hidden, kind=Kind.PSEUDONYM, note="", lift_note=""
        )
        suppress(hidden, reason=Reason.FORGOTTEN, now=now, by=by)
    return hidden


def _require_few_broad(orders: Iterable[NewOrder]) -> None:
    broad = {order.address for order in orders if is_broad(order.address)}
    if not broad:
        return
    known = Suppression.objects.filter(kind__in=BROAD).values_list("address", flat=True)
    if len(broad.union(known)) > MAX_BROAD:
        raise TooManyRules(MAX_BROAD)


def _standing(wanted: Mapping[OrderKey, NewOrder], *, now: datetime) -> dict[OrderKey, Suppression]:
    """Return those of the wanted orders that stand; one that has expired becomes history.

    They are locked: who lifts one at this moment is waited for, and then it does not stand.
    """
    rows = Suppression.objects.filter(address__in={address for address, _ in wanted})
    found = {
        (row.address, Reason(row.reason)): row
        for row in rows.select_for_update().order_by("id").only(*_STANDING)
    }
    expired = [
        row.pk
        for key, row in found.items()
        if key in wanted and row.expires_at is not None and row.expires_at <= now
    ]
    if expired:
        lift_many(Suppression.objects.filter(pk__in=expired), now=now, note="It had expired.")
    return {key: row for key, row in found.items() if row.pk not in expired}


def _row(order: NewOrder, *, now: datetime) -> Suppression:
    return Suppression(
        address=order.address,
        kind=kind_of(order.address),
        reason=order.reason,
        source_message=order.source,
        note=order.note[:MAX_NOTE],
        by=order.by[:MAX_BY],
        created_at=now,
        expires_at=order.expires_at,
    )


def _give_again(order: NewOrder, standing: Suppression) -> None:
    changes: dict[str, object] = {}
    if _lasts_longer(order, standing):
        changes["expires_at"] = order.expires_at
    if not standing.is_repeated and _comes_from_elsewhere(order, standing):
        changes["is_repeated"] = True
    if changes:
        Suppression.objects.filter(pk=standing.pk).update(**changes)


def _comes_from_elsewhere(order: NewOrder, standing: Suppression) -> bool:
    if order.source is None and standing.source_message_id is None:
        return order.by[:MAX_BY] != standing.by
    return order.source is None or order.source.pk != standing.source_message_id


def _lasts_longer(order: NewOrder, standing: Suppression) -> bool:
    if standing.expires_at is None:
        return False
    return order.expires_at is None or order.expires_at > standing.expires_at


def _withdraw(orders: Collection[NewOrder]) -> None:
    """Take what the orders forbid out of the queue, now and when everybody can see them."""
    recipients = {order.address for order in orders}
    recipients |= {order.source.recipient for order in orders if _knows_recipient(order.source)}
    ledger.withdraw(recipients)
    # A bounce is no word of the recipient's: what a worker holds already may go.
    final = [order for order in orders if order.reason not in BOUNCES]
    if final:
        are_plain = all(kind_of(order.address) == Kind.ADDRESS for order in final)
        addresses = {order.address for order in final} if are_plain else None
        ledger.withdraw_held(addresses)
        transaction.on_commit(partial(ledger.withdraw_held, addresses))


def _knows_recipient(source: Message | None) -> TypeGuard[Message]:
    return source is not None and bool(source.recipient)
