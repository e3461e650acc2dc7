"""The list of events: all that happened to all messages, newest first."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.decorators import display

from sending.admin import MessageAdmin
from sending.admin.base import RecordAdmin
from sending.admin.timeline import KIND_COLORS, STATUS_COLORS
from sending.models import Event, Message
from tracking.admin.filters import HappenedFilter, KindFilter, WhoFilter
from tracking.admin.notes import COLORS, note_on
from tracking.visitors import Label

# A search finds the newest messages of a recipient, and what happened to them.
MAX_MESSAGES = 500
# Two lines on a telephone.
URL_LENGTH = 26
DETAIL_LENGTH = 66


@admin.register(Event)
class EventAdmin(RecordAdmin):
    """A list to read: events are records that `sending.ledger` writes."""

    list_display = ("when", "what", "recipient", "who", "more")
    list_display_links = ("when",)
    list_filter = (KindFilter, WhoFilter, HappenedFilter)
    list_select_related = ("message", "visit__link")
    search_fields = ("message",)
    search_help_text = "A recipient's whole address, a message id, or a Message-ID."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        """Leave the large columns of the messages in the database."""
        return super().get_queryset(request).defer("message__attribs", "message__subject")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Event], search_term: str
    ) -> tuple[QuerySet[Event], bool]:
        """Find messages as their own list does, and then their events, both by an index."""
        if not search_term.strip():
            return queryset, False
        pages = MessageAdmin(Message, self.admin_site)
        found, _ = pages.get_search_results(request, Message.objects.all(), search_term)
        ids = list(found.order_by("-id").values_list("pk", flat=True)[:MAX_MESSAGES])
        return queryset.filter(message_id__in=ids), False

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Lead to the message, where the event is among all others of it."""
        event = self.get_object(request, object_id)
        if event is None or request.method != "GET" or not self.has_view_permission(request, event):
            return super().change_view(request, object_id, form_url, extra_context)
        return redirect("admin:sending_message_change", event.message_id)

    @display(description="When")
    def when(self, event: Event) -> SafeString:
        """Show when it happened, in the time zone of the dashboard."""
        moment = f"{timezone.localtime(event.occurred_at):%Y-%m-%d %H:%M:%S}"
        return format_html('<span class="whitespace-nowrap">{}</span>', moment)

    @display(description="What", label=STATUS_COLORS | KIND_COLORS)
    def what(self, event: Event) -> str:
        """Show its word, coloured."""
        return event.kind

    @display(description="Recipient")
    def recipient(self, event: Event) -> SafeString:
        """Lead to the message."""
        address = reverse("admin:sending_message_change", args=[event.message_id])
        return format_html(
            '<a class="text-link" style="overflow-wrap: anywhere" href="{}">{}</a>',
            address,
            event.message.recipient,
        )

    @display(description="Who", label={label.value: color for label, color in COLORS.items()})
    def who(self, event: Event) -> str | None:
        """Show who opened or clicked."""
        visit = getattr(event, "visit", None)
        return Label(visit.label).value if visit else None

    @display(description="More")
    def more(self, event: Event) -> SafeString:
        """Show what is known of the visitor, or the words of the server."""
        visit = getattr(event, "visit", None)
        if visit is None:
            words = [event.detail]
        else:
            note = note_on(visit)
            words = [Truncator(note.target.partition("://")[2]).chars(URL_LENGTH), note.text]
        shown = Truncator(", ".join(filter(None, words))).chars(DETAIL_LENGTH)
        return format_html(
            '<span style="display: block; min-width: 16rem; overflow-wrap: anywhere">{}</span>',
            shown or "-",
        )
