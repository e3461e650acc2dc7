"""Show on the first page of the admin whether mail flows, and lead to everything else."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse, reverse_lazy
from django.utils import timezone

from apikeys.models import ApiKey
from billionmail import attention
from stats import queries
from stats.admin.pages import figures_of, frame_of
from stats.admin.spans import Span, chosen_key, read_span

TOP = 6
MESSAGE = "sending_message"
FAILURES = 8


def home(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the figures of the first page to its context."""
    context |= {"frame": frame_of(request)}
    if not request.user.has_perm("sending.view_message"):
        return context | {"has_no_role": True}
    now = timezone.now()
    keys = list(ApiKey.objects.order_by("name", "created_at"))
    known = [key.pk for key in keys]
    chosen = chosen_key(request.GET, known=known)
    span = read_span(request.GET, now=now, keys=[chosen] if chosen else known)
    queue = queries.queue(now=now)
    failed = replace(span.cut, keys=frozenset([chosen] if chosen else ()))
    course = queries.course(span.cut, earlier=span.earlier, step=span.step)
    return context | {
        **figures_of(course, span=span),
        **_leaders(span, keys=keys, queue=queue, now=now),
        "keys": keys,
        "chosen_key": chosen,
        "queue": queue,
        "trouble": queries.trouble(limit=FAILURES, cut=failed),
        "is_new": not (course.now.accepted or any(key.last_used_at for key in keys)),
        "inbox_url": reverse("inbox") if settings.MAIL_CATCHER else "",
    }


def account(request: HttpRequest) -> list[dict[str, Any]]:
    """Return what a person changes about themselves, besides the password."""
    return [{"title": "Second factor", "link": reverse_lazy("second-factor-change")}]


def _leaders(
    span: Span, *, keys: list[ApiKey], queue: queries.Queue, now: datetime
) -> dict[str, Any]:
    """Return who sent most, and with what all keys sent of late what needs a hand."""
    hours = timedelta(hours=settings.KEY_PAUSE_HOURS)
    everyone = frozenset(key.pk for key in keys)
    lately = queries.Cut(start=now - hours, end=now, keys=everyone)
    found = queries.leaders(span.cut, lately=lately, limit=TOP)
    names = {key.pk: key.name for key in keys}
    return {
        "attention": attention.items(keys=keys, lately=found.lately, queue=queue, now=now),
        "top_keys": [(names[key], _key_address(key, span), totals) for key, totals in found.keys],
        "top_templates": [
            (one.label, _template_address(one.value), one.totals) for one in found.templates
        ],
    }


def _key_address(key: UUID, span: Span) -> str:
    return f"{reverse('admin:apikeys_apikey_figures', args=[key])}?{span.query}"


def _template_address(template: str) -> str:
    return reverse("admin:sending_template_figures", args=[template]) if template else ""


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the side bar: what people look at daily first."""
    people = [
        _item("Users", "person", "admin:auth_user_changelist"),
        _item("Groups", "group", "admin:auth_group_changelist"),
        _item("Alerts", "notifications", "admin:guard_alert_changelist"),
        _item("Alert channels", "campaign", "admin:guard_alertchannel_changelist"),
        _item("Refused access", "gpp_bad", "admin:apikeys_refusedaccess_changelist"),
        _item("Log", "history", "admin:admin_logentry_changelist"),
    ]
    mail = [
        _item("Dashboard", "dashboard", "admin:index"),
        _item("Messages", "mail", "admin:sending_message_changelist"),
        _item("Events", "timeline", "admin:sending_event_changelist"),
        _item("Links", "link", "admin:tracking_trackedlink_changelist"),
        _item("API keys", "key", "admin:apikeys_apikey_changelist"),
        _item("Templates", "draft", "admin:sending_template_changelist"),
    ]
    if settings.MAIL_CATCHER:
        mail.append(_item("Caught mail", "inbox", "inbox"))
    # The pages of figures are below the list in the address, but lines of their own.
    mail[1]["active"] = _is_about_messages
    figures = [
        _item("Failures", "error", "admin:sending_message_failures", of=MESSAGE),
        _item("When people read", "schedule", "admin:sending_message_open_times", of=MESSAGE),
        _item("Batches", "stacks", "admin:sending_message_batches", of=MESSAGE),
        _item("Variants", "science", "admin:sending_message_variants", of=MESSAGE),
        _item("Tags", "sell", "admin:sending_message_tags", of=MESSAGE),
        _item("Providers", "mark_email_read", "admin:sending_message_providers", of=MESSAGE),
        _item("Senders", "outgoing_mail", "admin:sending_message_sender_domains", of=MESSAGE),
        _item("One recipient", "person_search", "admin:sending_message_recipient", of=MESSAGE),
    ]
    ways = [
        _item("Routes", "route", "admin:sending_route_changelist"),
        _item("Sender domains", "domain_verification", "admin:sending_senderdomain_changelist"),
        _item("Limits", "speed", "admin:sending_limit_changelist"),
        _item("Suppressions", "block", "admin:sending_suppression_changelist"),
        _item("Clean lists", "cleaning_services", "admin:hygiene_run_changelist"),
        _item("Unsubscribe pages", "waving_hand", "admin:unsubscribe_pagewording_changelist"),
    ]
    return [
        {"title": "Mail", "items": mail},
        {"title": "Figures", "items": figures},
        {"title": "Ways out", "items": ways},
        {"title": "Guard", "items": people},
    ]


def _is_about_messages(request: HttpRequest) -> bool:
    match = request.resolver_match
    own = ("changelist", "change", "history", "batch", "to_recipient")
    return match is not None and match.url_name in {f"{MESSAGE}_{page}" for page in own}


def _item(title: str, icon: str, address: str, *, of: str = "") -> dict[str, Any]:
    """Return a line of the side bar: a list of a model, or a page that is `of` a model."""
    item: dict[str, Any] = {"title": title, "icon": icon, "link": reverse_lazy(address)}
    model = of or address.removeprefix("admin:").removesuffix("_changelist")
    if model != address.removeprefix("admin:"):
        needed = model.replace("_", ".view_", 1)
        item["permission"] = lambda request: request.user.has_perm(needed)
    return item
