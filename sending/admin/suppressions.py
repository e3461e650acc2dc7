"""The pages of the suppressions: who gets no mail, and why."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import action, display

from sending import suppressions
from sending.addresses import InvalidAddress
from sending.admin.base import InfinitePaginator, RecordAdmin
from sending.admin.suppression_forms import LiftForm, SuppressionForm
from sending.admin.suppression_pages import SuppressionPages
from sending.models import LiftedSuppression, Suppression

COLORS = {
    Suppression.Reason.UNSUBSCRIBED: "info",
    Suppression.Reason.HARD_BOUNCE: "warning",
    Suppression.Reason.SOFT_BOUNCES: "warning",
    Suppression.Reason.INVALID: "warning",
    Suppression.Reason.COMPLAINT: "danger",
    Suppression.Reason.BLACKLIST: "danger",
}
CAUTION = (
    "Who has unsubscribed or complained may be written to again only when they ask for it "
    "themselves."
)


@admin.register(Suppression)
class SuppressionAdmin(SuppressionPages):
    """Orders are added and lifted, never edited."""

    form = SuppressionForm
    list_display = ("address", "why", "note", "by", "source", "created_at", "expires_at")
    list_filter = ("reason", "kind")
    paginator = InfinitePaginator
    show_full_result_count = False
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("address",)
    search_help_text = "A whole address, @domain, .domain or pattern:..."
    actions = ("lift_selected",)
    actions_detail = ("lift",)
    fields = ("address", "reason", "note", "expires_at")
    readonly_facts = ("address", "kind", "why", "note", "by", "source", "created_at", "expires_at")
    change_form_outer_after_template = "sending/suppression_history.html"

    # --- Who may do what ---

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: an order keeps its reason and time. Lift it and give another."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse Django's own deletion: lifting is the way."""
        return False

    def has_lift_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Allow to whom Django gives the right to delete suppressions."""
        return self.is_permitted(request, "delete")

    # --- The list ---

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Suppression], search_term: str
    ) -> tuple[QuerySet[Suppression], bool]:
        """Look up by the index: the address, and the rule for its domain."""
        term = search_term.strip().casefold()
        if not term:
            return queryset, False
        rules = {term}
        with suppress(InvalidAddress):  # Then it can still be a stored rule.
            rule = suppressions.read_rule(term)
            rules |= {*suppressions.names_of(rule), "@" + rule.rpartition("@")[2]}
        return queryset.filter(address__in=rules), False

    @display(description="Reason", label=COLORS)
    def why(self, suppression: Suppression) -> str:
        """Show the reason as a coloured word."""
        return suppression.reason

    @display(description="Source message")
    def source(self, suppression: Suppression) -> str:
        """Link to the message that caused the order."""
        if suppression.source_message_id is None:
            return ""
        name = f"{self.admin_site.name}:sending_message_change"
        url = reverse(name, args=[suppression.source_message_id])
        return format_html('<a class="text-link" href="{}">Message</a>', url)

    @admin.action(description="Lift", permissions=["lift"])
    def lift_selected(
        self, request: HttpRequest, queryset: QuerySet[Suppression]
    ) -> HttpResponse | None:
        """Ask, then end the selected orders."""
        form = LiftForm(request.POST if "confirmed" in request.POST else None)
        if form.is_valid():
            ids = list(queryset.values_list("pk", flat=True)[: self.list_per_page])
            chosen = Suppression.objects.filter(pk__in=ids)
            self._lift(request, chosen, note=form.cleaned_data["note"])
            return None
        number = len(request.POST.getlist("_selected_action"))
        return self.page(
            request,
            "confirm",
            None,
            title="Lift suppressions",
            questions=[f"{number} addresses can get mail again. {CAUTION}"],
            button="Lift them",
            action=request.POST["action"],
            selected=request.POST.getlist("_selected_action"),
            form=form,
        )

    # --- One order ---

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Show the facts of an order that stands."""
        return self.readonly_facts if obj is not None else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Let nothing of it be edited."""
        return self.readonly_facts if obj is not None else ()

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], **kwargs: Any
    ) -> HttpResponse:
        """Add what else stands about the address, and what stood."""
        order = kwargs.get("obj")
        if order is not None:
            context["others"] = Suppression.objects.filter(address=order.address).exclude(
                pk=order.pk
            )
            context["ended"] = suppressions.history(order.address)
        return super().render_change_form(request, context, **kwargs)

    def save_model(self, request: HttpRequest, obj: Suppression, form: Any, change: bool) -> None:
        """Give the order."""
        reason = Suppression.Reason(obj.reason)
        suppressions.suppress(
            obj.address,
            reason=reason,
            now=timezone.now(),
            note=obj.note,
            by=request.user.get_username(),
            expires_at=obj.expires_at,
        )
        obj.pk = Suppression.objects.values_list("pk", flat=True).get(
            address=obj.address, reason=reason
        )

    @action(description="Lift", url_path="lift", icon="undo", permissions=["lift"])
    def lift(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask why, then end the order."""
        order = self.find(request, object_id, permission="delete")
        form = LiftForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            this = Suppression.objects.filter(pk=order.pk)
            self._lift(request, this, note=form.cleaned_data["note"])
            return HttpResponseRedirect(self.url("changelist"))
        return self.page(
            request,
            "confirm",
            order,
            title="Lift the suppression",
            questions=[f"{order.address} can get mail again. {CAUTION}"],
            button="Lift it",
            form=form,
        )

    def _lift(self, request: HttpRequest, orders: QuerySet[Suppression], *, note: str) -> None:
        with transaction.atomic():
            self.log_deletions(request, list(orders))
            lifted = suppressions.lift_many(
                orders, now=timezone.now(), by=request.user.get_username(), note=note
            )
        messages.success(request, f"{lifted} lifted.")


@admin.register(LiftedSuppression)
class LiftedSuppressionAdmin(RecordAdmin):
    """Orders that were lifted or have expired; read only."""

    list_display = ("address", "why", "lifted_at", "lifted_by", "lift_note", "created_at")
    list_display_links = None
    search_fields = ("address",)
    search_help_text = "A whole address, or another rule."

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[LiftedSuppression], search_term: str
    ) -> tuple[QuerySet[LiftedSuppression], bool]:
        """Look up by the index."""
        term = search_term.strip().casefold()
        return (queryset.filter(address=term) if term else queryset), False

    @display(description="Reason", label=COLORS)
    def why(self, order: LiftedSuppression) -> str:
        """Show the reason as a coloured word."""
        return order.reason
