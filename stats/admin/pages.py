"""What pages with figures share: their context, their frame, and their place beside a form."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.decorators import action

from apikeys.models import ApiKey
from stats import queries, words
from stats.admin.cards import cards
from stats.admin.charts import outcomes
from stats.admin.spans import CHOICES, Span, read_span
from stats.queries import By, Course, Totals

# Sent by the script of an open page, which wants to replace its figures and nothing else.
FRAGMENT_HEADER = "X-Fragment"
MOST_ROWS = 50
# Most of those who open a mail at all have opened it by then.
READ_WITHIN = timedelta(days=2)


def frame_of(request: HttpRequest) -> str:
    """Return the template that a page with figures extends: a bare one for its fragment."""
    return "stats/bare.html" if is_fragment(request) else "admin/base_site.html"


def figures_of(course: Course, *, span: Span) -> dict[str, Any]:
    """Return the context of the cards, the chart of outcomes, and the choice of the time."""
    return {
        "span": span,
        "span_choices": CHOICES.items(),
        "zone": words.days_of(span.cut.zone, at=span.cut.start),
        "cards": cards(
            course,
            compared=span.compared,
            is_new=span.cut.end > timezone.now() - READ_WITHIN,
        ),
        "chart": outcomes(course.points, step=span.step),
    }


def is_fragment(request: HttpRequest) -> bool:
    """Tell whether only what changes on the page is asked for."""
    return FRAGMENT_HEADER in request.headers


def key_names() -> dict[UUID, str]:
    """Return the names of all keys; they are tens."""
    return dict(ApiKey.objects.order_by("name", "created_at").values_list("pk", "name"))


def key_rows(
    found: Mapping[UUID, Totals], *, names: Mapping[UUID, str], span: Span
) -> list[tuple[str, str, Totals]]:
    """Return the keys with their figures as rows of a table: name, address, counts."""
    return [
        (
            names.get(key, str(key)),
            f"{reverse('admin:apikeys_apikey_figures', args=[key])}?{span.query}",
            totals,
        )
        for key, totals in list(found.items())[:MOST_ROWS]
    ]


def mark_rows(
    found: Mapping[str, Totals], *, page: str, span: Span
) -> list[tuple[str, str, Totals]]:
    """Return variants or tags with their figures as rows of a table: name, address, counts."""
    place = f"{reverse(f'admin:sending_message_{page}')}?{span.query}"
    return [
        (name, f"{place}&{urlencode({'of': name})}", totals)
        for name, totals in list(found.items())[:MOST_ROWS]
    ]


class FiguresPage(ModelAdmin):
    """Give each object of a model a page of its figures, at ``OBJECT/figures/``.

    A subclass names "figures" in its `actions_detail`, says in `figures_by` and `figures_value`
    which mail is meant, and adds to the page by `figures_context` and `figures_template`.
    """

    figures_template = "stats/figures.html"
    figures_by = By.ALL

    def has_figures_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Allow to whoever may see the object."""
        return self.has_view_permission(request)

    @action(description="Figures", url_path="figures", icon="monitoring", permissions=["figures"])
    def figures(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the figures of one object."""
        original = self.get_object(request, object_id)
        if original is None:
            raise Http404(f"There is no such {self.opts.verbose_name}.")
        if not self.has_view_permission(request, original):
            raise PermissionDenied
        span = self.figures_span(request, original)
        course = queries.course(span.cut, earlier=span.earlier, step=span.step)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": original,
            "title": str(original),
            "frame": frame_of(request),
            "settings_url": self._address("change", original),
            "list_url": self._address("changelist"),
            **figures_of(course, span=span),
            **self.figures_context(request, original, span),
        }
        return TemplateResponse(request, self.figures_template, context)

    def figures_span(self, request: HttpRequest, original: Any) -> Span:
        """Return the time that the figures are of, and which mail is meant."""
        value = self.figures_value(original)
        return read_span(request.GET, now=timezone.now(), by=self.figures_by, value=value)

    def figures_value(self, original: Any) -> str:
        """Return the value of `figures_by` that the figures of the object are about."""
        return str(original.pk)

    def figures_context(self, request: HttpRequest, original: Any, span: Span) -> dict[str, Any]:
        """Return what else the page shows."""
        return {}

    def _address(self, page: str, *objects: Any) -> str:
        name = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_{page}"
        return reverse(name, args=[one.pk for one in objects])
