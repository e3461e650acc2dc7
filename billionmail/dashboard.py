"""Show on the first page of the admin whether mail flows, and lead to everything else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse, reverse_lazy
from django.utils import timezone

from sending import blocks, outages
from sending.routes import default_route
from stats import queries


def home(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the figures of the first page to its context."""
    if not request.user.has_perm("sending.view_message"):
        return context | {"has_no_role": True}
    now = timezone.now()
    overview = queries.overview(since=now - timedelta(hours=24), now=now)
    return context | {
        "overview": overview,
        "chart": queries.hourly_outcomes(now=now),
        "failures": queries.recent_failures(limit=8),
        "has_way_out": default_route() is not None,
        "troubled_routes": outages.in_trouble(now=now),
        "blocks": blocks.lasting(now=now, limit=5),
        "inbox_url": reverse("inbox") if settings.MAIL_CATCHER else "",
    }


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the side bar: what people look at daily first."""
    people = [
        _item("Users", "person", "admin:auth_user_changelist"),
        _item("Groups", "group", "admin:auth_group_changelist"),
        _item("Alerts", "notifications", "admin:guard_alert_changelist"),
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
        {"title": "Ways out", "items": ways},
        {"title": "Guard", "items": people},
    ]


def _item(title: str, icon: str, address: str) -> dict[str, Any]:
    item: dict[str, Any] = {"title": title, "icon": icon, "link": reverse_lazy(address)}
    model = address.removeprefix("admin:").removesuffix("_changelist")
    if model != address.removeprefix("admin:"):
        needed = model.replace("_", ".view_", 1)
        item["permission"] = lambda request: request.user.has_perm(needed)
    return item
