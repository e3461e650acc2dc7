"""Decide whether an address may get mail, and keep the standing orders: the only writer of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sending.models import Message, Suppression

TELLS = {
    Suppression.Reason.UNSUBSCRIBED: "has unsubscribed",
    Suppression.Reason.HARD_BOUNCE: "has bounced before",
    Suppression.Reason.COMPLAINT: "has complained about mail from here",
    Suppression.Reason.BLACKLIST: "is on the blacklist",
}


GRAVITY = {
    Suppression.Reason.HARD_BOUNCE: 0,
    Suppression.Reason.BLACKLIST: 1,
    Suppression.Reason.UNSUBSCRIBED: 2,
    Suppression.Reason.COMPLAINT: 3,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why an address gets no mail: the rule that blocked it."""

    address: str
    reason: Suppression.Reason
    rule: str

    def __str__(self) -> str:
        tell = TELLS[self.reason]
        by = "" if self.rule == self.address else f" (rule {self.rule})"
        return f"{self.reason.value}: {self.address} {tell}{by}"


def key_of(recipient: str) -> str:
    """Return the key of an address in the form in which messages keep it."""
    return recipient.casefold()


def decide(addresses: Collection[str]) -> dict[str, Verdict]:
    """Return a verdict for each of the case-folded `addresses` that is blocked, in one query."""
    domains = {address: "@" + address.rpartition("@")[2] for address in addresses}
    rules = dict(
        Suppression.objects.filter(address__in={*addresses, *domains.values()}).values_list(
            "address", "reason"
        )
    )
    verdicts = {}
    for address, domain in domains.items():
        rule = address if address in rules else domain
        if rule in rules:
            verdicts[address] = Verdict(address, Suppression.Reason(rules[rule]), rule)
    return verdicts


def suppress(
    address: str,
    *,
    reason: Suppression.Reason,
    now: datetime,
    source: Message | None = None,
    note: str = "",
) -> bool:
    """Order that `address` (or ``@domain``) gets no mail; return whether that is new.

    Idempotent. An order that stands already keeps its time; its reason changes only to a graver
    one, so that who lifts a bounce does not lift the recipient's own no with it.
    """
    order, is_new = Suppression.objects.get_or_create(
        address=address.strip().casefold(),
        defaults={
            "reason": reason,
            "created_at": now,
            "source_message": source,
            "note": note[:500],
        },
    )
    if not is_new and GRAVITY[reason] > GRAVITY[Suppression.Reason(order.reason)]:
        Suppression.objects.filter(pk=order.pk).update(
            reason=reason, source_message=source, note=note[:500]
        )
    return is_new


def lift(address: str) -> bool:
    """End the order about `address`; return whether there was one."""
    return Suppression.objects.filter(address=address.strip().casefold()).delete()[0] > 0
