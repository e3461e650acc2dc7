"""The table of links with what was counted, however many clicks that were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import action

from stats import queries
from tracking.admin.links import TrackedLinkAdmin
from tracking.models import TrackedLink, Visit

admin.site.unregister(TrackedLink)


@admin.register(TrackedLink)
class LinkFiguresAdmin(TrackedLinkAdmin):
    """As before, but it reads the counts instead of the clicks."""

    actions_detail = ("on_the_mail",)

    @action(
        description="On the mail", url_path="on-the-mail", icon="ads_click", permissions=["view"]
    )
    def on_the_mail(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Go to the mail of the link, on which the clicks of all its links are drawn."""
        version = self.find(request, object_id, permission="view").template_version
        place = reverse(
            f"{self.admin_site.name}:sending_template_figures", args=[version.template_id]
        )
        return HttpResponseRedirect(f"{place}?span=90d&version={version.number}#links")

    def counts_of(
        self, links: Sequence[TrackedLink], *, key: UUID | None = None
    ) -> dict[int, dict[str, Any]]:
        """Return of each clicked link how often it was clicked, and by how many recipients."""
        if not links:
            return {}
        ids = [link.pk for link in links]
        uses = queries.uses_of(
            ids,
            keys=frozenset() if key is None else frozenset({key}),
            since=min(link.template_version.created_at for link in links),
            until=timezone.now(),
        )
        last = _last_clicks(ids, key=key)
        return {
            one: {
                "clicks": use.clicks + use.machine_clicks,
                "by_people": use.clicks,
                "people": use.clicked,
                "last": last.get(one),
            }
            for one, use in uses.items()
        }


def _last_clicks(link_ids: Sequence[int], *, key: UUID | None) -> dict[int, Any]:
    """Return when a person followed each link last: the newest of each, by an index."""
    visits = Visit.objects.filter(link=OuterRef("pk"), is_human=True).order_by("-event")
    if key is not None:
        visits = visits.filter(message__api_key_id=key)
    links = TrackedLink.objects.filter(pk__in=link_ids)
    return dict(links.values_list("pk", Subquery(visits.values("at")[:1])))
