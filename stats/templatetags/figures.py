"""Let templates write figures as the rest of the dashboard does."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from stats import words
from stats.queries import Totals

register = template.Library()
register.filter("number", words.number)
register.filter("short", words.short)
register.filter("duration", words.duration)
register.filter("seconds", words.seconds)
register.filter("percent", words.percent)


@register.filter
def css_percent(share: float) -> str:
    """Write a share as a length of a style, whatever the language."""
    return f"{share * 100:.2f}%"


@register.simple_tag
def rate(totals: Totals, name: str) -> SafeString:
    """Write a rate into a cell of a table, exact where it is pointed at."""
    return format_html('<td class="bm-number">{}</td>', words.rate_mark(totals, name=name))


@register.simple_tag
def rate_between(totals: Totals, name: str) -> SafeString:
    """Write a rate into a cell of a table, and below it between what it is."""
    return format_html(
        '<td class="bm-number">{}<small class="bm-under text-subtle">{}</small></td>',
        words.rate_mark(totals, name=name),
        words.between(totals.rates[name]),
    )


@register.simple_tag
def rate_counts(totals: Totals, name: str) -> str:
    """Write what a rate is made of."""
    return words.counts(totals.rates[name])
