"""Find which messages may not go out because their recipient is suppressed, and say why."""

from __future__ import annotations

from collections.abc import Sequence

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from sending import screening
from sending.models import Message, Suppression
from sending.screening import Verdict

Blocked = dict[str, tuple[Verdict, Suppression]]


def split_blocked(messages: Sequence[Message]) -> tuple[list[Message], Blocked]:
    """Return the messages that may go out, and for each other recipient what forbids it."""
    verdicts = screening.screen(messages)
    orders = {
        (order.address, order.reason): order
        for order in Suppression.objects.filter(
            address__in={verdict.rule for verdict in verdicts.values()}
        )
    }
    # An order that was lifted between the two queries forbids nothing any more.
    blocked = {
        verdict.address: (verdict, orders[verdict.rule, verdict.reason])
        for verdict in verdicts.values()
        if (verdict.rule, verdict.reason) in orders
    }
    free = [one for one in messages if screening.key_of(one.recipient) not in blocked]
    return free, blocked


def explanation(blocked: Blocked) -> SafeString:
    """Return a sentence for each recipient, with a link to the order that is to be lifted."""
    return format_html_join(SafeString("<br>"), "{}", ((_why(*one),) for one in blocked.values()))


def _why(verdict: Verdict, order: Suppression) -> SafeString:
    link = format_html(
        '<a class="underline" href="{}">lift that first</a>',
        reverse("admin:sending_suppression_change", args=[order.pk]),
    )
    rule = "" if verdict.rule == verdict.address else f" (rule {verdict.rule})"
    tell = screening.TELLS[verdict.reason]
    return format_html("{} is suppressed because it {}{}; {}.", verdict.address, tell, rule, link)
