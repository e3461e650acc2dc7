"""Refused access: by which key, from which address and why, over time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Sum
from django.db.models.functions import TruncHour
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from apikeys.models import RefusedAccess
from sending.admin.base import RecordAdmin

HOURS = 24
TOP = 10


@admin.register(RefusedAccess)
class RefusedAccessAdmin(RecordAdmin):
    """Counts to read; `apikeys.refusals` writes them."""

    list_display = ("since", "key", "caller", "reason", "count")
    list_display_links = None
    list_filter = ("reason", ("key", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("key",)
    ordering = ("-bucket_at", "-id")
    search_fields = ("address",)
    list_before_template = "guard/refused.html"

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Add the chart of the last day, and who was refused most."""
        return super().changelist_view(request, _last_day() | (extra_context or {}))

    @admin.display(description="Five minutes from")
    def since(self, refused: RefusedAccess) -> str:
        """Show when its five minutes began."""
        return f"{timezone.localtime(refused.bucket_at):%Y-%m-%d %H:%M}"

    @admin.display(description="Address")
    def caller(self, refused: RefusedAccess) -> str:
        """Show the address, or that there were too many to tell apart."""
        return refused.address or "many others"


def _last_day() -> dict[str, Any]:
    last = timezone.now().replace(minute=0, second=0, microsecond=0)
    hours = [last - timedelta(hours=back) for back in reversed(range(HOURS))]
    rows = RefusedAccess.objects.filter(bucket_at__gte=hours[0]).order_by()
    by_hour = rows.annotate(hour=TruncHour("bucket_at")).values_list("hour")
    counted = dict(by_hour.annotate(number=Sum("count")))
    numbers = [counted.get(hour, 0) for hour in hours]
    tops = []
    for title, name in (("Keys", "key__name"), ("Addresses", "address"), ("Reasons", "reason")):
        most = rows.values_list(name).annotate(number=Sum("count")).order_by("-number")[:TOP]
        tops.append((title, [(one or "none known", number) for one, number in most]))
    return {
        "hours": [
            (f"{timezone.localtime(at):%H:%M}", n) for at, n in zip(hours, numbers, strict=True)
        ],
        "most": max(numbers),
        "total": sum(numbers),
        "tops": tops,
    }
