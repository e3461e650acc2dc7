"""Find which messages may not go out because their recipient is suppressed, and say why."""

from __future__ import annotations

from collections.abc import Sequence

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from sending import suppressions
from sending.addresses import parse_address
from sending.models import Message, Suppression
from sending.suppressions import TELLS


def split_blocked(
    messages: Sequence[Message],
) -> tuple[list[Message], dict[str, Suppression]]:
    """Return the messages that may go out, and for each other recipient what forbids it."""
    keys = {message.pk: parse_address(message.recipient).suppression_key for message in messages}
    verdicts = suppressions.decide(set(keys.values()))
    orders = Suppression.objects.in_bulk(
        {verdict.rule for verdict in verdicts.values()}, field_name="address"
    )
    # An order that was lifted between the two queries forbids nothing any more.
    blocked = {
        key: orders[verdict.rule] for key, verdict in verdicts.items() if verdict.rule in orders
    }
    return [message for message in messages if keys[message.pk] not in blocked], blocked


def explanation(blocked: dict[str, Suppression]) -> SafeString:
    """Return a sentence for each recipient, with a link to the order that is to be lifted."""
    return format_html_join(SafeString("<br>"), "{}", ((_why(*one),) for one in blocked.items()))


def _why(address: str, order: Suppression) -> SafeString:
    link = format_html(
        '<a class="underline" href="{}">lift that first</a>',
        reverse("admin:sending_suppression_change", args=[order.pk]),
    )
    rule = "" if order.address == address else f" (rule {order.address})"
    tell = TELLS[Suppression.Reason(order.reason)]
    return format_html("{} is suppressed because it {}{}; {}.", address, tell, rule, link)
