"""The list of the keys with their figures, and the page of the figures of each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin import ShowFacets, SimpleListFilter
from django.contrib.admin.views.main import ChangeList
from django.db.models import Max, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from apikeys.admin.keys import EXAMPLE_BODY
from apikeys.models import ApiKey, RefusedAccess, live_prefixes
from sending.admin.keys import SendingKeyAdmin
from sending.models import Status
from stats import queries, words
from stats.admin.charts import spark
from stats.admin.pages import FiguresPage, mark_rows
from stats.admin.spans import Span
from stats.queries import By, KeyCourse, Totals

DAYS = (7, 30, 90)
# Counted with the failures, but nobody has refused these.
NO_FAILURES = (Status.DEFERRED, Status.SUPPRESSED)
DEFAULT_DAYS = 30
MESSAGES = 12
REFUSALS = 10
MOST_GROUPS, FAILURES, DELAYS = 60, 12, 5


def days_of(request: HttpRequest) -> int:
    """Return of how many days the figures of the list are."""
    chosen = request.GET.get(DaysFilter.parameter_name, "")
    return int(chosen) if chosen in map(str, DAYS) else DEFAULT_DAYS


class DaysFilter(SimpleListFilter):
    """Of how many days the figures of the list are. It leaves out no key."""

    title = "days of the figures"
    parameter_name = "days"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the spans to choose from."""
        return [(str(days), f"{days} days") for days in DAYS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        """Return all keys."""
        return queryset


admin.site.unregister(ApiKey)


@admin.register(ApiKey)
class KeyFiguresAdmin(FiguresPage, SendingKeyAdmin):
    """The pages of the keys, with what became of the mail of each."""

    list_display = (  # type: ignore[assignment]
        "key",
        "state",
        "sent",
        "delivery",
        "opened",
        "clicked",
        "bounced",
        "unsubscribed",
        "failures",
        "last_used",
    )
    list_display_links = None
    list_filter = ("is_active", DaysFilter)  # type: ignore[assignment]
    list_filter_sheet = False
    list_fullwidth = True
    list_before_template = "stats/days.html"
    show_facets = ShowFacets.NEVER
    actions_detail = ("figures", *SendingKeyAdmin.actions_detail)  # type: ignore[assignment]
    figures_template = "stats/key.html"
    figures_by = By.KEY

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        """Read the routes of all rows at once, for what is missing."""
        return super().get_queryset(request).select_related("sending_profile__route")

    # --- The list ---

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Let the days of the figures be chosen above the list."""
        days = {"days_choices": DAYS, "days_shown": days_of(request)}
        return super().changelist_view(request, days | (extra_context or {}))

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Read the figures of all keys of the page at once."""
        changelist = super().get_changelist_instance(request)
        number = days_of(request)
        keys = list(changelist.result_list)
        today = timezone.now().astimezone(UTC).date()
        found = queries.key_courses([key.pk for key in keys], last=today, days=number)
        for key in keys:
            key.course = found[key.pk]
            key.days = number
        changelist.result_list = keys
        return changelist

    @display(description="Key", ordering="name")
    def key(self, key: ApiKey) -> SafeString:
        """Lead to the figures of the key and to its form; show what it sends, and its secrets."""
        return format_html(
            '<div><a class="text-link" href="{}">{}</a>'
            '<small class="bm-under text-subtle">{}</small><small class="bm-under text-subtle">{} '
            '<a class="text-link" href="{}">Settings</a></small></div>',
            self._address("figures", key),
            key.name,
            self.template(key),
            ", ".join(live_prefixes(key.secrets.all(), now=timezone.now())),
            self._address("change", key),
        )

    @display(description="Sent")
    def sent(self, key: ApiKey) -> SafeString:
        """Show how much was sent, and its course."""
        course = _course(key)
        drawn = spark([one.sent for one in course.days], what="Sent each day (UTC)")
        return format_html(
            '<span data-tip="{} sent of {} accepted">{}</span><span class="bm-small">{}</span>',
            words.number(course.totals.sent),
            words.number(course.totals.accepted),
            words.short(course.totals.sent),
            render_to_string("stats/charts/spark.html", {"spark": drawn}),
        )

    @display(description="Delivered")
    def delivery(self, key: ApiKey) -> SafeString:
        """Show the rate of delivery."""
        return words.rate_mark(_course(key).totals, name="delivery")

    @display(description="Opened")
    def opened(self, key: ApiKey) -> SafeString:
        """Show the rate of messages that people opened."""
        return words.rate_mark(_course(key).totals, name="open")

    @display(description="Clicked")
    def clicked(self, key: ApiKey) -> SafeString:
        """Show the rate of messages that people clicked in."""
        return words.rate_mark(_course(key).totals, name="click")

    @display(description="Bounced")
    def bounced(self, key: ApiKey) -> SafeString:
        """Show the rate of bounces."""
        return words.rate_mark(_course(key).totals, name="bounce")

    @display(description="Unsubscribed")
    def unsubscribed(self, key: ApiKey) -> SafeString:
        """Show the rate of messages that were unsubscribed from."""
        return words.rate_mark(_course(key).totals, name="unsubscribe")

    @display(description="Failures")
    def failures(self, key: ApiKey) -> SafeString | str:
        """Lead from the number of failures to their reasons."""
        number = _failed(_course(key).totals)
        if not number:
            return "0"
        address = f"{self._address('figures', key)}?span={key.days}d#failures"  # type: ignore[attr-defined]
        return format_html('<a class="text-link" href="{}">{}</a>', address, words.number(number))

    @display(description="Last used", ordering="last_used_at")
    def last_used(self, key: ApiKey) -> SafeString:
        """Show how long ago it was used, and until when it can be."""
        used = words.ago(key.last_used_at, now=timezone.now())
        until = "never expires"
        if key.expires_at is not None:
            until = f"expires {timezone.localtime(key.expires_at):%Y-%m-%d}"
        return format_html(
            '<div><span data-tip="{}">{}</span>'
            '<small class="bm-under text-subtle">{}</small></div>',
            words.at(key.last_used_at) if key.last_used_at else "never used",
            used,
            until,
        )

    # --- The figures of one key ---

    def figures_context(self, request: HttpRequest, original: Any, span: Span) -> dict[str, Any]:
        """Add what the key is, its newest messages, its failures, and whom it was refused."""
        now = timezone.now()
        marks = queries.marks(span.cut)
        return {
            "variant_rows": mark_rows(marks.by_variant, page="variants", span=span),
            "tag_rows": mark_rows(marks.by_tag, page="tags", span=span),
            "facts": self._facts(original, now=now),
            "state": self.state(original),
            "refused_url": f"{reverse('admin:apikeys_refusedaccess_changelist')}"
            f"?key__id__exact={original.pk}",
            "messages_url": f"{reverse('admin:sending_message_changelist')}?key={original.pk}",
            "newest": queries.newest_messages(original.pk, limit=MESSAGES),
            **_failures(span),
            "waits": queries.waits(span.cut),
            "refused": _refused(original, span),
            "missing": self.what_is_missing(original),
            "send_url": f"{settings.PUBLIC_URL}/api/batch_mail/api/send",
            "example_body": EXAMPLE_BODY,
            "prefix": next(iter(live_prefixes(original.secrets.all(), now=now)), ""),
        }

    def _facts(self, key: ApiKey, *, now: datetime) -> list[tuple[str, str, str]]:
        """Return what is known of a key: name, what it is, and exactly."""
        used = words.ago(key.last_used_at, now=now)
        if key.last_used_address:
            used += f" from {key.last_used_address}"
        return [
            ("Last used", used, words.at(key.last_used_at) if key.last_used_at else ""),
            ("Expires", words.at(key.expires_at) if key.expires_at else "never", ""),
            ("Template", self.template(key), ""),
            ("Sender", self.sender(key) or "each request names its own", ""),
            ("Allowed from", self.network_list(key), ""),
            ("May", self.scope_list(key), ""),
            ("Secrets", self.prefixes(key), ""),
        ]


def _course(key: Any) -> KeyCourse:
    course: KeyCourse = key.course
    return course


def _failed(totals: Totals) -> int:
    return totals.bounced + totals.rejected + totals.failed + totals.expired


def _failures(span: Span) -> dict[str, Any]:
    """Return how mail failed for good, and apart from it what only made it wait."""
    groups = queries.failures(span.cut, limit=MOST_GROUPS)
    return {
        "failures": [one for one in groups if one.kind not in NO_FAILURES][:FAILURES],
        "delays": [one for one in groups if one.kind == Status.DEFERRED][:DELAYS],
    }


def _refused(key: ApiKey, span: Span) -> list[dict[str, Any]]:
    rows = RefusedAccess.objects.filter(
        key=key, bucket_at__gte=span.cut.start, bucket_at__lt=span.cut.end
    )
    grouped = rows.order_by().values("reason", "address")
    counted = grouped.annotate(number=Sum("count"), last_at=Max("bucket_at"))
    return [dict(row) for row in counted.order_by("-number")[:REFUSALS]]
