"""Look at everything that ever went to one address: by its index, and never by a scan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from sending.models import Event, LiftedSuppression, Message, Status, Suppression
from stats.models import MEASURE_OF_STATUS
from stats.queries.figures import Totals

SHOWN_MESSAGES = 25
SHOWN_EVENTS = 50
SHOWN_ORDERS = 50
# What is read of the events of the messages that are shown: robots may leave any number.
MOST_EVENTS = 2000
MOST_COUNTED = 5000
COUNTED = ("status", "opened_at", "any_opened_at", "clicked_at", "any_clicked_at")


@dataclass(frozen=True, slots=True)
class Recipient:
    """What is known of an address, the newest first. `totals`: of the newest `MOST_COUNTED`."""

    messages: list[Message]
    totals: Totals
    events: list[Event]
    orders: list[Suppression]
    lifted: list[LiftedSuppression]

    @property
    def is_known(self) -> bool:
        """Tell whether anything is stored under the address."""
        return bool(self.messages or self.orders or self.lifted)

    @property
    def has_more(self) -> bool:
        """Tell whether there may be messages that were not counted."""
        return self.totals.accepted >= MOST_COUNTED


def recipient(spellings: Collection[str], *, rule: str) -> Recipient:
    """Return what went to an address, in any of these spellings, and the orders about it.

    `rule`: what names the address in an order; orders about its domain are among them.
    """
    sent = Message.objects.filter(recipient__in=set(spellings)).order_by("-id")
    messages = list(
        sent.select_related("api_key", "template_version__template").defer(
            "attribs", "template_version__html", "template_version__text"
        )[:SHOWN_MESSAGES]
    )
    rules = (rule, f"@{rule.rpartition('@')[2]}")
    return Recipient(
        messages=messages,
        totals=_totals(list(sent.values_list(*COUNTED)[:MOST_COUNTED])) if messages else Totals(),
        events=_events(messages),
        orders=list(Suppression.objects.filter(address__in=rules).order_by("-id")),
        # Not those of the pseudonym: of who was forgotten nothing is told.
        lifted=list(LiftedSuppression.objects.filter(address=rule).order_by("-id")[:SHOWN_ORDERS]),
    )


def _totals(rows: list[tuple[object, ...]]) -> Totals:
    counts: Counter[str] = Counter()
    for status, *moments in rows:
        counts[MEASURE_OF_STATUS[Status(str(status))]] += 1
        for name, moment in zip(COUNTED[1:], moments, strict=True):
            counts[name.removesuffix("_at")] += moment is not None
    return Totals(**counts)


def _events(messages: list[Message]) -> list[Event]:
    """Return the newest events of these messages, in the order of the index of each message."""
    by_id = {one.id: one for one in messages}
    told = Event.objects.filter(message__in=by_id).order_by("-message_id", "-id")[:MOST_EVENTS]
    # That a worker took a message up tells nobody anything.
    noted = [one for one in told if one.kind != Status.SENDING]
    newest = sorted(noted, key=lambda one: -one.pk)[:SHOWN_EVENTS]
    for event in newest:
        event.message = by_id[event.message_id]
    return newest
