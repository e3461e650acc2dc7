"""The table of links: how often each was clicked, by how many, by whom and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Count, Max, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.decorators import display

from sending.admin.base import RecordAdmin
from tracking.admin.filters import LinkKeyFilter, LinkTemplateFilter, chosen_key
from tracking.admin.notes import note_on
from tracking.models import TrackedLink, Visit

URL_LENGTH = 60  # two lines on a telephone
CLICKS_SHOWN = 100


@admin.register(TrackedLink)
class TrackedLinkAdmin(RecordAdmin):
    """A list to read; a template version and its links never change."""

    list_display = ("address", "version", "people", "clicks_by_people", "clicks", "last")
    list_display_links = ("address",)
    list_filter = (LinkTemplateFilter, LinkKeyFilter)
    list_select_related = ("template_version__template",)
    list_per_page = 20
    ordering = ("-template_version", "position")
    change_form_outer_after_template = "tracking/link.html"

    # --- The list ---

    def get_queryset(self, request: HttpRequest) -> QuerySet[TrackedLink]:
        """Leave the bodies in the database."""
        found: QuerySet[TrackedLink] = super().get_queryset(request)
        return found.defer("template_version__html", "template_version__text")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Count the clicks of the links of the page, all at once."""
        listed = super().get_changelist_instance(request)
        counts = self.counts_of(list(listed.result_list), key=chosen_key(request))
        for link in listed.result_list:
            link.counted = counts.get(link.pk, {})
        return listed

    @display(description="Link")
    def address(self, link: Any) -> SafeString:
        """Show where it leads, as the template has it."""
        shown = Truncator(link.url).chars(URL_LENGTH)
        return format_html('<span style="overflow-wrap: anywhere">{}</span>', shown)

    @display(description="Template")
    def version(self, link: Any) -> str:
        """Show in which version it is."""
        return str(link.template_version)

    @display(description="People")
    def people(self, link: Any) -> str:
        """Show how many recipients clicked it, machines left out."""
        return f"{link.counted.get('people', 0):,}"

    @display(description="Clicks by people")
    def clicks_by_people(self, link: Any) -> str:
        """Show how often people clicked it."""
        return f"{link.counted.get('by_people', 0):,}"

    @display(description="All clicks")
    def clicks(self, link: Any) -> str:
        """Show how often it was clicked, by machines too."""
        return f"{link.counted.get('clicks', 0):,}"

    @display(description="Last click by a person")
    def last(self, link: Any) -> SafeString:
        """Show when somebody clicked it last."""
        at = link.counted.get("last")
        moment = f"{timezone.localtime(at):%Y-%m-%d %H:%M}" if at else "-"
        return format_html('<span class="whitespace-nowrap">{}</span>', moment)

    # --- One link ---

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show nothing as a form: the template below shows all of it."""
        return []

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], **kwargs: Any
    ) -> HttpResponse:
        """Add how often it was clicked, and by whom."""
        link = kwargs["obj"]
        is_of_people = request.GET.get("who") == "people"
        wanted = {"is_human": True} if is_of_people else {}
        clicks = (
            Visit.objects.filter(link=link, **wanted)
            .select_related("message", "link")
            .defer("message__attribs", "message__subject")
            .order_by("-event_id")[:CLICKS_SHOWN]
        )
        context |= {
            "title": Truncator(link.url).chars(URL_LENGTH),
            "counted": {
                name: f"{count:,}"
                for name, count in self.counts_of([link]).get(link.pk, {}).items()
                if isinstance(count, int)
            },
            "clicks": [(visit, note_on(visit)) for visit in clicks],
            "clicks_shown": CLICKS_SHOWN,
            "is_of_people": is_of_people,
        }
        return super().render_change_form(request, context, **kwargs)

    def counts_of(
        self, links: Sequence[TrackedLink], *, key: UUID | None = None
    ) -> dict[int, dict[str, Any]]:
        """Return of each clicked link how often it was clicked, and by how many recipients.

        This counts the clicks themselves; an app that keeps counts can answer faster.
        """
        visits = Visit.objects.filter(link_id__in=[link.pk for link in links])
        if key is not None:
            visits = visits.filter(message__api_key_id=key)
        is_human = Q(is_human=True)
        rows = visits.values("link_id").annotate(
            clicks=Count("pk"),
            by_people=Count("pk", filter=is_human),
            people=Count("message_id", filter=is_human, distinct=True),
            last=Max("at", filter=is_human),
        )
        return {row["link_id"]: dict(row) for row in rows}
