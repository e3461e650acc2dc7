"""The pages of figures that are about mail at large: failures, hours, receivers, senders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
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
from sending.models import Message
from stats import queries
from stats.admin.batches import batch_context, first_of
from stats.admin.failures import failures_context
from stats.admin.heat import heat_map
from stats.admin.pages import frame_of, key_names
from stats.admin.recipients import recipient_context
from stats.admin.spans import Span, chosen_key, looked_up, read_span
from stats.admin.values import TITLES, batches_context, of_span, value_context, values_context
from stats.queries import By

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
            "variants": ("variants/", self.variants),
            "tags": ("tags/", self.tags),
            "batches": ("batches/", self.batches),
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

    # --- What callers marked their mail with ---

    def variants(self, request: HttpRequest) -> HttpResponse:
        """Show the variants of mail beside each other, or the figures of one."""
        return self._by(request, By.VARIANT)

    def tags(self, request: HttpRequest) -> HttpResponse:
        """Show the tags of mail, or the figures of one."""
        return self._by(request, By.TAG)

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
            context = values_context(by, span=span, place=place)
            return self._figures(request, "values", title=TITLES[by], **context)
        context = value_context(by, value, span=looked_up(span), names=names)
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
            message is not None and message.batch_id is not None
        )

    @action(description="Its batch", url_path="batch", icon="stacks", permissions=["batch"])
    def batch(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show how the batch stands that a message was accepted in."""
        message = self.find(request, object_id, permission="view")
        if message.batch_id is None:
            raise Http404("The message was accepted by itself, not in a batch.")
        context = batch_context(message, now=timezone.now())
        return self._figures(request, "batch", is_of_one=True, **context)

    def batches(self, request: HttpRequest) -> HttpResponse:
        """Show the newest batches, or how the one stands that `of` names."""
        given = request.GET.get("of", "")
        if not given:
            span, context = self._span_of_keys(request)
            context |= batches_context(span, names=key_names(), place=request.path)
            return self._figures(request, "values", title=TITLES[By.BATCH], **context)
        self._require_view(request)
        try:
            first = first_of(UUID(given))
        except ValueError:
            first = None
        if first is None:
            return self._figures(request, "no_batch", title="No such batch", given=given)
        return self._figures(request, "batch", **batch_context(first, now=timezone.now()))

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
        return span, {"keys": keys, "chosen_key": key, **of_span(span)}

    def _figures(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        shared = {
            **self.admin_site.each_context(request),
            # Without its options the head of a page leads from the messages to what it is called.
            "model_admin": self,
            "frame": frame_of(request),
            "heading": context["title"],
            "messages_url": self.url("changelist"),
        }
        return TemplateResponse(request, f"stats/{template}.html", shared | context)
