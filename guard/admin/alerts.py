"""The alerts: what a person should look at, and who did."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display

from guard import alerts
from guard.models import Alert
from sending.admin.base import RecordAdmin


class OpenFilter(admin.EmptyFieldListFilter):
    """Open alerts, or those that somebody has seen to."""


@admin.register(Alert)
class AlertAdmin(RecordAdmin):
    """A list to read and to acknowledge."""

    list_display = ("what", "subject", "text", "state", "last", "count", "seen_by")
    list_display_links = ("what",)
    list_filter = (("acknowledged_at", OpenFilter), "kind")
    list_select_related = ("acknowledged_by",)
    ordering = ("-last_at", "-id")
    search_fields = ("subject",)
    actions = ("acknowledge_selected",)
    actions_detail = ("acknowledge",)
    fields = (
        "what",
        "subject",
        "text",
        "api_key",
        "count",
        "first_at",
        "last_at",
        "acknowledged_at",
        "seen_by",
        "told",
    )

    def has_acknowledge_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        """Allow to whom Django gives the right to change alerts."""
        return self.is_permitted(request, "change")

    @display(description="What")
    def what(self, alert: Alert) -> str:
        """Show the kind as a sentence."""
        return alert.get_kind_display()

    @display(description="Told to")
    def told(self, alert: Alert) -> str:
        """Show which channels were told, and why one could not be."""
        notices = alert.notices.select_related("channel")
        return "; ".join(
            f"{one.channel}: {one.status}" + (f" ({one.answer})" if one.answer else "")
            for one in notices
        )

    @display(description="Last")
    def last(self, alert: Alert) -> SafeString:
        """Show when it was last so, in the time zone of the dashboard."""
        moment = f"{timezone.localtime(alert.last_at):%Y-%m-%d %H:%M}"
        return format_html('<span class="whitespace-nowrap">{}</span>', moment)

    @display(description="State", label={"open": "danger", "seen": "success"})
    def state(self, alert: Alert) -> str:
        """Show in a word whether somebody has seen to it."""
        return "seen" if alert.acknowledged_at else "open"

    @display(description="Acknowledged by")
    def seen_by(self, alert: Alert) -> str:
        """Show who has seen to it, also when that account was deleted since."""
        if alert.acknowledged_at is None:
            return "-"
        return str(alert.acknowledged_by or "an account that is gone")

    @admin.action(description="Acknowledge", permissions=["acknowledge"])
    def acknowledge_selected(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        """Note that the person has seen to the selected alerts."""
        self._acknowledge(request, list(queryset.filter(acknowledged_at=None)))

    @action(
        description="Acknowledge",
        url_path="acknowledge",
        icon="check",
        permissions=["acknowledge"],
    )
    def acknowledge(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask whether it is meant, then note that the person has seen to it."""
        alert = self.find(request, object_id)
        if request.method != "POST":
            return self.confirm(
                request,
                alert,
                title="Acknowledge",
                question="It leaves the open alerts. If it happens anew, there is a new one.",
                button="Acknowledge",
            )
        self._acknowledge(request, [alert])
        return self.back_to(alert)

    def _acknowledge(self, request: HttpRequest, chosen: list[Alert]) -> None:
        with transaction.atomic():
            number = alerts.acknowledge(
                [alert.pk for alert in chosen], by=request.user, now=timezone.now()
            )
            for alert in chosen:
                self.log_change(request, alert, "Acknowledged.")
        messages.success(request, f"{number} acknowledged.")
