"""The pages of the sender domains: the records to publish, and what the DNS says."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.decorators import action, display

from sending import commands
from sending.admin.base import OperatorAdmin
from sending.commands.domains import is_dkim_published, needed_records, normal_domain
from sending.dns_records import State
from sending.models import SenderDomain, SendingProfile

COLORS = {
    State.FOUND: "success",
    State.MISSING: "danger",
    State.DIFFERENT: "warning",
    State.SEVERAL: "danger",
    State.FAILED: "warning",
    State.UNKNOWN: "warning",
}


class SenderDomainForm(forms.ModelForm):
    """Edit a sender domain; its name and its key are made once."""

    class Meta:
        model = SenderDomain
        fields = ("domain", "is_active", "is_dkim_active", "return_path_domain", "tracking_domain")

    def clean_domain(self) -> str:
        """Return the domain as it stands in addresses; refuse one that exists."""
        domain = _normal(self.cleaned_data["domain"])
        others = SenderDomain.objects.filter(domain=domain).exclude(pk=self.instance.pk)
        if others.exists():
            raise ValidationError(f"{domain} is among the sender domains already.")
        return domain

    def clean_return_path_domain(self) -> str:
        """Return the domain as it stands in addresses, or nothing."""
        return self._domain_or_nothing("return_path_domain")

    def clean_tracking_domain(self) -> str:
        """Return the domain as it stands in links, or nothing."""
        return self._domain_or_nothing("tracking_domain")

    def _domain_or_nothing(self, field: str) -> str:
        given = self.cleaned_data[field].strip()
        return _normal(given) if given else ""


@admin.register(SenderDomain)
class SenderDomainAdmin(OperatorAdmin):
    """A domain gets its DKIM key when it is added, and signs when it is told to."""

    form = SenderDomainForm
    list_display = ("domain", "is_active", "is_dkim_active", "dns", "checked_at")
    list_filter = ("is_active",)
    search_fields = ("domain",)
    ordering = ("domain",)
    actions_detail = ("check_dns", "new_dkim_key")
    change_form_outer_after_template = "sending/dns_records.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "domain",
                    ("is_active", "is_dkim_active"),
                    ("return_path_domain", "tracking_domain"),
                )
            },
        ),
    )
    add_fieldsets = (
        (
            None,
            {
                "fields": ("domain", ("return_path_domain", "tracking_domain")),
                "description": "A DKIM key is made for the domain. The next page has the DNS "
                "records to publish, ready to copy.",
            },
        ),
    )

    # --- The list ---

    @display(
        description="DNS",
        label={"all found": "success", "to do": "warning", "not checked": ""},
    )
    def dns(self, domain: SenderDomain) -> str:
        """Show in a word what the last look at the DNS found."""
        if not domain.findings:
            return "not checked"
        is_done = all(finding["state"] == State.FOUND for finding in domain.findings)
        return "all found" if is_done else "to do"

    # --- The form ---

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse while a key is limited to it: without the limit it could send from everywhere."""
        if obj is not None and SendingProfile.objects.filter(sender_domains=obj).exists():
            return False
        return super().has_delete_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Keep the name: keys and records are bound to it."""
        return ("domain",) if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: SenderDomain, form: Any, change: bool) -> None:
        """Store what was edited; a new domain gets its key."""
        if not change:
            created = commands.create_domain(
                domain=obj.domain,
                return_path_domain=obj.return_path_domain,
                tracking_domain=obj.tracking_domain,
            )
            obj.pk, obj._state.adding = created.pk, False
            return
        obj.save(update_fields=form.changed_data)
        if "is_dkim_active" in form.changed_data and obj.is_dkim_active:
            self._warn_of_unpublished_key(request, obj)

    def response_add(
        self, request: HttpRequest, obj: SenderDomain, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Go to the records of the new domain."""
        messages.success(request, f"{obj.domain} is added. Publish the records below, then check.")
        return self.back_to(obj)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], **kwargs: Any
    ) -> HttpResponse:
        """Add the records, each with what was found of it."""
        domain = kwargs.get("obj")
        if domain is not None:
            found = {finding["purpose"]: finding for finding in domain.findings}
            context["records"] = [
                (record, found.get(record.purpose), _color(found.get(record.purpose)))
                for record in needed_records(domain)
            ]
        return super().render_change_form(request, context, **kwargs)

    def _warn_of_unpublished_key(self, request: HttpRequest, domain: SenderDomain) -> None:
        commands.check_domain(domain=domain, now=timezone.now())
        if not is_dkim_published(domain):
            messages.warning(
                request,
                "Mail is signed from now on, but the DKIM record was not found in the DNS: "
                "receivers see a broken signature. Switch it off until the record is published.",
            )

    # --- The acts ---

    @action(description="Check DNS", url_path="check-dns", icon="dns", permissions=["change"])
    def check_dns(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Look the records up; the findings stand beside them."""
        domain = self.find(request, object_id)
        if request.method != "POST":
            return self.confirm(
                request,
                domain,
                title="Check DNS",
                question="Each record is looked up at the name servers of this machine, which "
                "takes up to three seconds a record if they do not answer.",
                button="Check now",
            )
        findings = commands.check_domain(domain=domain, now=timezone.now())
        self.log_change(request, domain, "Checked the DNS.")
        lacking = [one.purpose for one in findings if one.state != State.FOUND]
        if lacking:
            messages.warning(request, f"Not as needed: {', '.join(lacking)}. See the records.")
        else:
            messages.success(request, "Every record is published as needed.")
        return self.back_to(domain)

    @action(description="New DKIM key", url_path="new-key", icon="key", permissions=["change"])
    def new_dkim_key(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask whether it is meant, then make a key under a new selector."""
        domain = self.find(request, object_id)
        if request.method != "POST":
            return self.confirm(
                request,
                domain,
                title="New DKIM key",
                question="The domain gets a new key under a new selector, and signing stops until "
                "its record is published and you switch it on again. Leave the old record in the "
                "DNS for a week: mail under way is still verified with it.",
                button="Make a new key",
            )
        with transaction.atomic():
            renewed = commands.rotate_dkim_key(domain=domain)
            self.log_change(request, domain, f"New DKIM key {renewed.dkim_selector}.")
        messages.success(
            request, f"The key {renewed.dkim_selector} is made. Publish its record, then check."
        )
        return self.back_to(domain)


def _normal(domain: str) -> str:
    try:
        return normal_domain(domain, field="domain")
    except ValidationError as error:
        raise ValidationError(error.messages) from None


def _color(finding: dict[str, Any] | None) -> str:
    return COLORS[State(finding["state"])] if finding else ""
