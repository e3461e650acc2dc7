"""The pages of the suppressions: who gets no mail, and why."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import action, display

from sending import suppressions
from sending.addresses import InvalidAddress, parse_address
from sending.admin.base import InfinitePaginator, OperatorAdmin
from sending.models import Suppression

COLORS = {
    Suppression.Reason.UNSUBSCRIBED: "info",
    Suppression.Reason.HARD_BOUNCE: "warning",
    Suppression.Reason.COMPLAINT: "danger",
    Suppression.Reason.BLACKLIST: "danger",
}
CAUTION = (
    "Who has unsubscribed or complained may be written to again only when they ask for it "
    "themselves."
)


class SuppressionForm(forms.ModelForm):
    """Order that an address or a whole domain gets no mail."""

    class Meta:
        model = Suppression
        fields = ("address", "reason", "note")
        help_texts = {"address": "An address, or @example.com for everybody there."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("reason", Suppression.Reason.BLACKLIST)

    def clean_address(self) -> str:
        """Return the rule as it is stored; refuse one that exists."""
        try:
            rule = _rule(self.cleaned_data["address"])
        except InvalidAddress as error:
            raise ValidationError(str(error)) from None
        existing = Suppression.objects.filter(address=rule).first()
        if existing is not None:
            raise ValidationError(
                f"{rule} gets no mail already, since {existing.created_at:%Y-%m-%d}: "
                f"{existing.reason}."
            )
        return rule


@admin.register(Suppression)
class SuppressionAdmin(OperatorAdmin):
    """Orders are added and lifted, never edited."""

    form = SuppressionForm
    list_display = ("address", "why", "note", "source", "created_at")
    list_filter = ("reason",)
    paginator = InfinitePaginator
    show_full_result_count = False
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("address",)
    search_help_text = "A whole address, or @domain."
    actions = ("lift_selected",)
    actions_detail = ("lift",)
    fields = ("address", "reason", "note")
    readonly_facts = ("address", "why", "note", "source", "created_at")

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
            rules |= {_rule(term), "@" + _rule(term).rpartition("@")[2]}
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
        chosen = list(queryset[: self.list_per_page])
        if "confirmed" not in request.POST:
            return self.confirm_list(
                request,
                title="Lift suppressions",
                question=f"{len(chosen)} addresses can get mail again. {CAUTION}",
                button="Lift them",
            )
        self._lift(request, chosen)
        return None

    # --- One order ---

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Show the facts of an order that stands."""
        return self.readonly_facts if obj is not None else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Let nothing of it be edited."""
        return self.readonly_facts if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: Suppression, form: Any, change: bool) -> None:
        """Give the order."""
        suppressions.suppress(
            obj.address,
            reason=Suppression.Reason(obj.reason),
            now=timezone.now(),
            note=obj.note,
        )
        obj.pk = Suppression.objects.values_list("pk", flat=True).get(address=obj.address)

    @action(description="Lift", url_path="lift", icon="undo", permissions=["lift"])
    def lift(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask whether it is meant, then end the order."""
        order = self.find(request, object_id, permission="delete")
        if request.method != "POST":
            return self.confirm(
                request,
                order,
                title="Lift the suppression",
                question=f"{order.address} can get mail again. {CAUTION}",
                button="Lift it",
            )
        self._lift(request, [order])
        return HttpResponseRedirect(self.url("changelist"))

    def _lift(self, request: HttpRequest, orders: list[Suppression]) -> None:
        with transaction.atomic():
            self.log_deletions(request, orders)
            lifted = sum(suppressions.lift(order.address) for order in orders)
        messages.success(request, f"{lifted} lifted.")


def _rule(text: str) -> str:
    """Return an address or ``@domain`` as it is stored; raise InvalidAddress."""
    text = text.strip()
    if text.startswith("@"):
        return "@" + parse_address(f"postmaster{text}").domain
    return parse_address(text).suppression_key
