"""The pages of figures that are about mail at large: failures, hours, receivers, senders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import action

from sending.admin import MessageAdmin
from sending.models import Message, Priority, SenderDomain
from stats import queries
from stats.admin.batches import batch_context
from stats.admin.failures import failures_context
from stats.admin.heat import heat_map
from stats.admin.pages import figures_of, frame_of, key_names, key_rows
from stats.admin.recipients import recipient_context
from stats.admin.spans import CHOICES, Span, chosen_key, looked_up, read_span
from stats.queries import By

MOST_VALUES = 100
ACTS = {"opened": "opens", "clicked": "clicks"}
UTC = ZoneInfo("UTC")

admin.site.unregister(Message)


@admin.register(Message)
class MessageFiguresAdmin(MessageAdmin):
    """The pages of the messages, with those of what became of many of them."""

    actions_detail = ("to_recipient", "batch", *MessageAdmin.actions_detail)  # type: ignore[assignment]

    def get_urls(self) -> list[URLPattern]:
        """Add the pages that are about no single message."""
        pages: dict[str, tuple[str, Callable[..., HttpResponse]]] = {
            "failures": ("failures/", self.failures),
            "open_times": ("open-times/", self.open_times),
            "providers": ("providers/", self.providers),
            "sender_domains": ("sender-domains/", self.sender_domains),
            "recipient": ("recipient/", self.recipient),
        }
        own = [
            path(place, self.admin_site.admin_view(view), name=f"sending_message_{name}")
            for name, (place, view) in pages.items()
        ]
        return [*own, *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        """Read with a message what every page of it names."""
        return super().get_queryset(request).select_related("api_key", "template_version__template")

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Message | None:
        """Read a message once for a page: each of its acts asks whether it may be done."""
        if request.method != "GET":
            return super().get_object(request, object_id, from_field)
        read: dict[str, Message | None] = request.__dict__.setdefault("messages_read", {})
        if object_id not in read:
            read[object_id] = super().get_object(request, object_id, from_field)
        return read[object_id]

    # --- How mail failed ---

    def failures(self, request: HttpRequest) -> HttpResponse:
        """Show how mail failed, alike together, and the messages of one such group."""
        span, context = self._span_of_keys(request)
        context |= failures_context(request.GET, span=span)
        return self._figures(request, "failures", title="Failures by reason", **context)

    # --- When people read ---

    def open_times(self, request: HttpRequest) -> HttpResponse:
        """Show in which hours of the week people open, or click."""
        span, context = self._span_of_keys(request)
        kind = request.GET.get("act", "")
        kind = kind if kind in ACTS else "opened"
        context |= {
            "heat": heat_map(queries.open_times(span.cut, kind=kind), what=ACTS[kind]),
            "act": kind,
            "acts": ACTS,
            "kept": [("act", kind)],
        }
        return self._figures(request, "open_times", title="When people read", **context)

    # --- Who receives, who sends ---

    def providers(self, request: HttpRequest) -> HttpResponse:
        """Show the providers that receive the mail, or the figures of one."""
        return self._by(request, By.PROVIDER)

    def sender_domains(self, request: HttpRequest) -> HttpResponse:
        """Show the domains that mail is from, or the figures of one."""
        return self._by(request, By.SENDER_DOMAIN)

    def _by(self, request: HttpRequest, by: By) -> HttpResponse:
        """Show the values of a dimension; or the figures of one, which `of` names.

        There may be thousands of domains in each hour, so that the days here are those of the
        rollups, in UTC.
        """
        self._require_view(request)
        value = request.GET.get("of", "")[:255]
        names = key_names()
        with timezone.override(UTC):
            span = read_span(
                request.GET,
                now=timezone.now(),
                keys=list(names),
                by=by if value else By.ALL,
                value=value,
            )
        place = f"{reverse(f'admin:sending_message_{by}s')}?{span.query}"
        if not value:
            context = _values_context(by, span=span, place=place)
            return self._figures(request, "values", title=TITLES[by], **context)
        context = _value_context(by, value, span=looked_up(span), names=names)
        context |= {"all_url": place, "all_title": TITLES[by]}
        return self._figures(request, "value", title=value, **context)

    # --- One recipient, one batch ---

    def recipient(self, request: HttpRequest) -> HttpResponse:
        """Show everything that ever went to an address."""
        self._require_view(request)
        context = recipient_context(request.GET.get("address", ""))
        return self._figures(request, "recipient", **context)

    @action(
        description="All to this address",
        url_path="to-recipient",
        icon="person",
        permissions=["view"],
    )
    def to_recipient(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show everything that ever went to the address of a message."""
        message = self.find(request, object_id, permission="view")
        return self._figures(request, "recipient", **recipient_context(message.recipient))

    def has_batch_permission(self, request: HttpRequest, object_id: str) -> bool:
        """Allow where there is a batch."""
        message = self.get_object(request, object_id)
        return self.has_view_permission(request) and (
            message is not None and message.priority == Priority.BATCH
        )

    @action(description="Its batch", url_path="batch", icon="stacks", permissions=["batch"])
    def batch(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show how the batch stands that a message was accepted in."""
        message = self.find(request, object_id, permission="view")
        if message.priority != Priority.BATCH:
            raise Http404("The message was accepted by itself, not in a batch.")
        return self._figures(request, "batch", **batch_context(message, now=timezone.now()))

    # --- What the pages share ---

    def _require_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _span_of_keys(self, request: HttpRequest) -> tuple[Span, dict[str, Any]]:
        """Return the time that is asked for, of the chosen key or of all, and its form."""
        self._require_view(request)
        names = key_names()
        key = chosen_key(request.GET, known=list(names))
        span = read_span(request.GET, now=timezone.now(), keys=[key] if key else list(names))
        keys = [{"pk": pk, "name": name} for pk, name in names.items()]
        return span, {"keys": keys, "chosen_key": key, **_of_span(span)}

    def _figures(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        shared = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "frame": frame_of(request),
            "heading": context["title"],
            "messages_url": self.url("changelist"),
        }
        return TemplateResponse(request, f"stats/{template}.html", shared | context)


TITLES = {By.PROVIDER: "Recipient providers", By.SENDER_DOMAIN: "Sender domains"}


def _of_span(span: Span) -> dict[str, Any]:
    return {"span": span, "span_choices": CHOICES.items(), "zone": str(span.cut.zone)}


def _values_context(by: By, *, span: Span, place: str) -> dict[str, Any]:
    """Return the values of a dimension with most mail; each leads to its own figures."""
    found = queries.breakdown(span.cut, by=by, limit=MOST_VALUES)
    rows = [
        (
            one.label,
            f"{place}&{urlencode({'of': one.value})}" if one.value else "",
            one.totals,
        )
        for one in found.rows
    ]
    return {"rows": rows, "found": found, "by": by, **_of_span(span)}


def _value_context(by: By, value: str, *, span: Span, names: Mapping[UUID, str]) -> dict[str, Any]:
    """Return the figures of one value of a dimension."""
    course = queries.course(span.cut, earlier=span.earlier, step=span.step)
    parts = queries.parts(span.cut)
    is_provider = by == By.PROVIDER
    domains = list(parts.by_value.items())[:MOST_VALUES] if is_provider else []
    return {
        "by": by,
        "kept": [("of", value)],
        "key_rows": key_rows(parts.by_key, names=names, span=span),
        "domain_rows": [(domain, "", totals) for domain, totals in domains],
        "sender_domain": (
            None if is_provider else SenderDomain.objects.filter(domain=value).first()
        ),
        **figures_of(course, span=span),
    }
