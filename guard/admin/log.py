"""The admin log: who changed what and when."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from sending.admin.base import RecordAdmin


@admin.register(LogEntry)
class LogEntryAdmin(RecordAdmin):
    """A list to read: every change that a person made in the dashboard."""

    list_display = ("when", "user", "what", "object_repr", "content_type")
    list_display_links = None
    list_filter = ("action_flag",)
    list_select_related = ("user", "content_type")
    search_fields = ("object_repr", "change_message", "user__username")

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show it among the others to whom it is open."""
        return self.has_view_permission(request)

    @display(description="When")
    def when(self, entry: LogEntry) -> str:
        """Show when, in the time zone of the dashboard."""
        return f"{timezone.localtime(entry.action_time):%Y-%m-%d %H:%M:%S}"

    @display(description="What")
    def what(self, entry: LogEntry) -> str:
        """Show what was done."""
        return entry.get_change_message() or entry.get_action_flag_display()
