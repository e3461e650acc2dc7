"""The pages of the routes: the form whose secrets are never shown, and the check."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextareaWidget

from sending import commands
from sending.admin.base import OperatorAdmin
from sending.commands.routes import check_settings, warnings_about
from sending.models import Attempt, Route
from sending.routes import default_route

NO_WAY_OUT = (
    "There is no active default route now: keys that name no route of their own cannot send. "
    "Make an active route the default."
)
STATES = {"active": "success", "paused": "danger", "down": "warning", "off": ""}
KEEP = "Empty: what is stored stays. It is never shown."
SMTP_FIELDS = (
    "host",
    "port",
    "tls",
    "verify_certificate",
    "username",
    "password",
    "connect_timeout_seconds",
    "command_timeout_seconds",
    "data_timeout_seconds",
)
ANYMAIL_FIELDS = ("backend", "options")


class RouteForm(forms.ModelForm):
    """Edit a route. Stored secrets do not come out again, not even to another server."""

    password = forms.CharField(
        required=False,
        strip=False,
        widget=UnfoldAdminPasswordWidget({"autocomplete": "new-password"}),
        help_text=KEEP,
    )
    options = forms.CharField(
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 4, "autocomplete": "off", "spellcheck": "false"}),
        help_text='JSON: the keyword arguments of the backend, such as {"server_token": "..."}. '
        + KEEP,
    )

    class Meta:
        model = Route
        fields = ("name", "kind", "is_active", "is_default", "connections") + (
            SMTP_FIELDS + ANYMAIL_FIELDS
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stored = {name: getattr(self.instance, name) for name in ("password", "options")}
        if "password" in self.fields:
            self.initial.update(password="", options="")
            self.fields["password"].help_text = self._about_password()
            self.fields["options"].help_text += self._about_options()

    def clean(self) -> dict[str, Any]:
        """Keep the secrets that were left empty, for the server that they were given for."""
        cleaned = super().clean() or self.cleaned_data
        if self.instance.pk:
            self._keep(cleaned, "password", given_for="host")
            self._keep(cleaned, "options", given_for="backend")
        return cleaned

    def _keep(self, cleaned: dict[str, Any], secret: str, *, given_for: str) -> None:
        if cleaned.get(secret) or not self.stored[secret]:
            return
        # Else whoever may edit a route could have its secret sent to a server of their own.
        if given_for in self.changed_data and cleaned.get(given_for):
            label = self.fields[secret].label or secret
            self.add_error(
                secret,
                f"Give the {label.lower()} again: the {given_for} changed, and the stored one "
                "was for the one before.",
            )
            return
        cleaned[secret] = self.stored[secret]

    def _get_validation_exclusions(self) -> set[str]:
        # A second default is no mistake: it takes over from the first when it is saved.
        return super()._get_validation_exclusions() | {"is_default"}  # type: ignore[misc]

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            check_settings(self.instance)
        except ValidationError as error:
            self.add_error(None, error)

    def _about_password(self) -> str:
        return f"A password is stored. {KEEP}" if self.stored["password"] else "None is stored."

    def _about_options(self) -> str:
        try:
            names = ", ".join(json.loads(self.stored["options"] or "{}"))
        except ValueError:
            return " What is stored is not JSON: give it again."
        return f" Stored: {names}." if names else " None are stored."


@admin.register(Route)
class RouteAdmin(OperatorAdmin):
    """The ways out. One that is saved as default takes over from the one before."""

    form = RouteForm
    list_display = ("name", "state", "is_default", "target", "protection", "connections")
    list_filter = ("kind", "is_active")
    search_fields = ("name", "host")
    ordering = ("name",)
    actions_detail = ("check_route", "resume")
    change_form_before_template = "sending/route_trouble.html"
    conditional_fields = {
        **dict.fromkeys(SMTP_FIELDS, "kind == 'smtp'"),
        **dict.fromkeys(ANYMAIL_FIELDS, "kind == 'anymail'"),
    }
    fieldsets = (
        (None, {"fields": ("name", "kind", ("is_active", "is_default"), "connections")}),
        (
            "Where to",
            {
                "fields": (
                    ("host", "port"),
                    ("tls", "verify_certificate"),
                    ("username", "password"),
                    "connect_timeout_seconds",
                    "command_timeout_seconds",
                    "data_timeout_seconds",
                    "backend",
                    "options",
                )
            },
        ),
    )

    # --- The list ---

    @display(description="State", label=STATES)
    def state(self, route: Route) -> str:
        """Show in a word whether mail leaves by it."""
        if not route.is_active:
            return "off"
        if route.is_paused():
            return "paused"
        return "down" if route.is_down(now=timezone.now()) else "active"

    @display(description="Where to")
    def target(self, route: Route) -> str:
        """Show the next hop."""
        return f"{route.host}:{route.port}" if route.kind == Route.Kind.SMTP else route.backend

    @display(description="Protection", label={"clear text": "warning"})
    def protection(self, route: Route) -> str:
        """Show how the connection is protected; a loopback needs nothing."""
        if route.kind == Route.Kind.SIMULATOR:
            return "this machine"
        if route.kind == Route.Kind.ANYMAIL:
            return "HTTPS" if route.backend.startswith("anymail.") else ""
        if route.tls == Route.Tls.NONE:
            return "clear text" if warnings_about(route) else "this machine"
        return route.tls

    # --- The form ---

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Tell above the form that the route is paused or down, in the words of its next hop."""
        route = kwargs.get("obj")
        if route is not None:
            context["is_down"] = route.is_down(now=timezone.now())
        return super().render_change_form(request, context, *args, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse when messages went this way: their attempts say where they went."""
        if obj is not None and Attempt.objects.filter(route=obj).exists():
            return False
        return super().has_delete_permission(request, obj)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Leave the secrets out for people who may only look."""
        if obj is None or self.has_change_permission(request, obj):
            return self.fieldsets
        shown = [name for name in (*SMTP_FIELDS, "backend") if name != "password"]
        return [self.fieldsets[0], ("Where to", {"fields": shown})]

    def save_model(self, request: HttpRequest, obj: Route, form: Any, change: bool) -> None:
        """Store the route, and say what should not stay so."""
        was_paused = obj.is_paused()
        replaced = commands.save_route(route=obj)
        if replaced is not None:
            messages.warning(request, f"{obj} is the default route now, instead of {replaced}.")
        if was_paused:
            messages.info(request, f"{obj} was paused; with these settings it is tried anew.")
        self._warn_without_default(request)
        for text in warnings_about(obj):
            messages.warning(request, text)

    def delete_model(self, request: HttpRequest, obj: Route) -> None:
        """Delete the route, and say whether a way out is left."""
        super().delete_model(request, obj)
        self._warn_without_default(request)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Route]) -> None:
        """Do as `delete_model`, for the selected routes."""
        super().delete_queryset(request, queryset)
        self._warn_without_default(request)

    def _warn_without_default(self, request: HttpRequest) -> None:
        if default_route() is None:
            messages.warning(request, NO_WAY_OUT)

    # --- The check, and the end of a pause ---

    def has_resume_permission(self, request: HttpRequest, object_id: str) -> bool:
        """Allow while the route is paused."""
        route = self.get_object(request, object_id)
        return route is not None and route.is_paused() and self.is_permitted(request, "change")

    @action(description="Resume", url_path="resume", icon="play_arrow", permissions=["resume"])
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask whether it is meant, then use a paused route again."""
        route = self.find(request, object_id)
        if request.method != "POST":
            question = "The mail that waits for it leaves now. If its next hop refuses us again, "
            question += "the route is paused again and the mail goes on waiting."
            return self.confirm(
                request, route, title="Resume", question=question, button="Resume the route"
            )
        with transaction.atomic():
            if commands.resume_route(route=route):
                self.log_change(request, route, "Resumed.")
                messages.success(request, "Resumed.")
        return self.back_to(route)

    @action(
        description="Check this route",
        url_path="check",
        icon="network_check",
        permissions=["change"],
    )
    def check_route(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Connect to the next hop and show what was found, line by line."""
        route = self.find(request, object_id)
        findings = None
        if request.method == "POST":
            findings = commands.check_route(route=route)
            self.log_change(request, route, "Checked the connection.")
        return self.page(request, "route_check", route, title="Check this route", findings=findings)
