"""The figures of each template: of its versions, of the keys that send it, of its links."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import action

from sending.admin.base import with_preview_policy
from sending.admin.templates import TemplateAdmin
from sending.models import Template, TemplateVersion
from stats import queries
from stats.admin.link_heat import heated, link_rows
from stats.admin.pages import FiguresPage, is_fragment, key_names, key_rows, mark_rows
from stats.admin.spans import Span, looked_up, read_span
from stats.queries import By, Parts, Totals
from tracking.models import TrackedLink

SHOWN_VERSIONS = 50

admin.site.unregister(Template)


@admin.register(Template)
class TemplateFiguresAdmin(FiguresPage, TemplateAdmin):
    """The pages of the templates, with what became of the mail of each."""

    actions_detail = ("figures", *TemplateAdmin.actions_detail)  # type: ignore[assignment]
    figures_template = "stats/template.html"
    figures_by = By.TEMPLATE

    def get_queryset(self, request: HttpRequest) -> QuerySet[Template]:
        """Read for the figures the wording that is sent, too: it is what is shown mostly."""
        match = getattr(request, "resolver_match", None)
        found = super().get_queryset(request)
        is_figures = match is not None and match.url_name == "sending_template_figures"
        return found.defer(None) if is_figures else found

    @action(description="Figures", url_path="figures", icon="monitoring", permissions=["figures"])
    def figures(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the figures of one template, with a mail in a frame that loads nothing."""
        return with_preview_policy(super().figures(request, object_id))

    def figures_span(self, request: HttpRequest, original: Template) -> Span:
        """Look up once what the questions of the page are about."""
        names, versions = key_names(), _versions(original)
        original.figures = names, versions  # type: ignore[attr-defined]
        span = read_span(
            request.GET,
            now=timezone.now(),
            keys=list(names),
            by=self.figures_by,
            value=str(original.pk),
            values=[str(one.pk) for one in versions],
        )
        return span if names else looked_up(span)

    def figures_context(self, request: HttpRequest, original: Any, span: Span) -> dict[str, Any]:
        """Add the versions, the keys and the links, and the mail on which these are drawn."""
        names, versions = original.figures
        # The mail stays as it is while the figures are replaced: it may have been scrolled.
        has_mail = bool(versions) and not is_fragment(request)
        links = _stored_links(original) if has_mail else []
        parts = queries.parts(span.cut, link_ids=[one.pk for one in links])
        context = {
            "versions": _version_rows(versions, parts, current=original.current_version_id),
            "variant_rows": mark_rows(parts.by_variant, page="variants", span=span),
            "key_rows": key_rows(parts.by_key, names=names, span=span),
            "kept": [],
            "messages_url": f"{reverse('admin:sending_message_changelist')}?template={original.pk}",
        }
        if has_mail:
            context |= _links_context(
                _chosen(request, original, versions, parts),
                parts,
                ids={(one.template_version_id, one.position): one.pk for one in links},
                given=request.GET.get("version"),
            )
        return context


def _stored_links(template: Template) -> list[TrackedLink]:
    """Return the links of all versions, without where they lead."""
    found = TrackedLink.objects.filter(template_version__template=template)
    return list(found.only("template_version_id", "position"))


def _versions(template: Template) -> list[TemplateVersion]:
    """Return the versions of a template without their bodies, the newest first."""
    return list(template.versions.defer("html", "text").order_by("-number"))


def _version_rows(
    versions: list[TemplateVersion], parts: Parts, *, current: int | None
) -> list[tuple[TemplateVersion, bool, Totals]]:
    """Return those that were sent, and the current one."""
    rows = [
        (one, one.pk == current, parts.by_value.get(str(one.pk), Totals()))
        for one in versions
        if str(one.pk) in parts.by_value or one.pk == current
    ]
    return rows[:SHOWN_VERSIONS]


def _links_context(
    shown: TemplateVersion, parts: Parts, *, ids: dict[tuple[int, int], int], given: str | None
) -> dict[str, Any]:
    """Return the links of a version, in a table and on its mail."""
    places = {place: pk for (version, place), pk in ids.items() if version == shown.pk}
    rows = link_rows(shown, ids=places, found=parts.by_link)
    mail = heated(shown, rows) if rows else None
    return {
        "shown_version": shown,
        "links": sorted(rows, key=lambda one: (-one.totals.clicks, one.position)),
        "heat_mail": None if isinstance(mail, str) else mail,
        "heat_error": mail if isinstance(mail, str) else "",
        "delivered": parts.by_value.get(str(shown.pk), Totals()).delivered,
        "kept": [("version", given)] if given else [],
    }


def _chosen(
    request: HttpRequest, template: Template, versions: list[TemplateVersion], parts: Parts
) -> TemplateVersion:
    """Return the version that is asked for, else the one that was sent most; raise Http404."""
    by_number = {str(one.number): one.pk for one in versions}
    most = next((value for value in parts.by_value), None)
    usual = int(most) if most else template.current_version_id or versions[0].pk
    given = request.GET.get("version")
    if given is not None and given not in by_number:
        raise Http404("The template has no version of this number.")
    chosen = by_number[given] if given else usual
    if template.current_version is not None and template.current_version.pk == chosen:
        return template.current_version
    return TemplateVersion.objects.get(pk=chosen)
