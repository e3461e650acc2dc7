"""What a key sends, on the key's own page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import StackedInline
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from apikeys.admin import ApiKeyAdmin
from apikeys.models import ApiKey
from sending.addresses import InvalidAddress, parse_address
from sending.commands.routes import set_fallback_routes
from sending.errors import TemplateSyntaxError
from sending.models import FallbackRoute, Route, SendingProfile, Template
from sending.rendering import Target, compile_source
from sending.routes import route_of


class AddressField(forms.CharField):
    """One address, or nothing, as it stands in an envelope."""

    widget = UnfoldAdminTextInputWidget

    def clean(self, value: Any) -> str:
        """Return the address; raise ValidationError saying what is wrong with it."""
        given = super().clean(value)
        return _address(given) if given else ""


class AddressesField(forms.CharField):
    """A list of addresses, edited as text with one a line."""

    widget = UnfoldAdminTextareaWidget

    def prepare_value(self, value: Any) -> Any:
        """Return the text for the list; text that was refused stays as it was typed."""
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:
        """Return the addresses; raise ValidationError naming every bad line."""
        addresses: list[str] = []
        errors: list[str] = []
        for number, line in enumerate(super().clean(value).splitlines(), start=1):
            try:
                addresses += [_address(line)] if line.strip() else []
            except ValidationError as error:
                errors.append(f"Line {number}: {error.message}")
        if errors:
            raise ValidationError(errors)
        return list(dict.fromkeys(addresses))

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare the list with the text as text."""
        return super().has_changed(self.prepare_value(initial), data)


FURTHER_ROUTES = ("second_route", "third_route")


def _further_route(label: str, help_text: str) -> forms.ModelChoiceField:
    return forms.ModelChoiceField(
        Route.objects.order_by("name"),
        label=label,
        required=False,
        help_text=help_text,
        widget=UnfoldAdminSelectWidget,
    )


class SendingProfileForm(forms.ModelForm):
    """Edit what a key sends. `routes`: what all three choices of a route offer."""

    routes: Sequence[tuple[Any, str]] = ()
    second_route = _further_route("Second route", "Taken while the first cannot be used.")
    third_route = _further_route("Third route", "Taken while the second cannot be used either.")

    sender_address = AddressField(
        required=False, max_length=320, help_text="Used when a request gives no addresser."
    )
    reply_to = AddressField(label="Reply-To", required=False, max_length=320)
    extra_senders = AddressesField(
        required=False,
        help_text="Addresses allowed as sender besides the domains, one a line.",
        widget=UnfoldAdminTextareaWidget({"rows": 3}),
    )

    class Meta:
        model = SendingProfile
        fields = (
            "template",
            "subject",
            "sender_address",
            "sender_name",
            "reply_to",
            "stream",
            "has_unsubscribe_link",
            "heeds_unsubscribes",
            "bulk_per_day",
            "bulk_per_week",
            "track_opens",
            "track_clicks",
            "is_strict",
            "sender_domains",
            "extra_senders",
            "route",
            "ambiguity_policy",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("route", *FURTHER_ROUTES):
            if self.routes and name in self.fields:  # not where it is only shown
                self.fields[name].choices = self.routes  # type: ignore[attr-defined]
        if self.instance.pk:
            stored = FallbackRoute.objects.filter(api_key=self.instance.pk).order_by("position")
            for name, row in zip(FURTHER_ROUTES, stored, strict=False):
                self.initial[name] = row.route_id

    def clean(self) -> dict[str, Any]:
        """Refuse a route that is named twice: it would not be another way."""
        cleaned = super().clean() or self.cleaned_data
        named = [cleaned.get("route")]
        for field in FURTHER_ROUTES:
            route = cleaned.get(field)
            if route is not None and route in named:
                self.add_error(field, f"{route} is named before already: choose another, or none.")
            named.append(route)
        return cleaned

    def _save_m2m(self) -> None:
        super()._save_m2m()  # type: ignore[misc]
        further = [self.cleaned_data.get(name) for name in FURTHER_ROUTES]
        set_fallback_routes(
            key=self.instance.api_key, routes=[route for route in further if route is not None]
        )

    def clean_subject(self) -> str:
        """Say where a subject is not in the template language."""
        subject: str = self.cleaned_data["subject"]
        try:
            compile_source(subject, target=Target.SUBJECT)
        except TemplateSyntaxError as error:
            raise ValidationError(str(error)) from None
        return subject

    def clean_template(self) -> Any:
        """Refuse a template that has nothing to say."""
        template = self.cleaned_data["template"]
        if template is not None and template.current_version_id is None:
            raise ValidationError("The template has no version yet: give it a wording first.")
        return template


class SendingProfileInline(StackedInline):
    """The one profile of a key; it is made with the key."""

    model = SendingProfile
    form = SendingProfileForm
    verbose_name = "what it sends"
    verbose_name_plural = "what it sends"
    min_num = max_num = 1
    extra = 0
    can_delete = False
    autocomplete_fields = ("sender_domains",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("template", "subject"),
                    ("sender_address", "sender_name"),
                    ("reply_to", "stream"),
                    ("has_unsubscribe_link", "is_strict"),
                    "heeds_unsubscribes",
                    ("bulk_per_day", "bulk_per_week"),
                    ("track_opens", "track_clicks"),
                )
            },
        ),
        (
            "Where from and by which way",
            {
                "fields": (
                    "sender_domains",
                    "extra_senders",
                    ("route", "ambiguity_policy"),
                    FURTHER_ROUTES,
                ),
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[SendingProfile]:
        """Read the key of the profile with it."""
        return super().get_queryset(request).select_related("api_key")

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        """Ask for the routes once for a page, however many forms and choices it has."""
        formset = super().get_formset(request, obj, **kwargs)
        shared = request.__dict__
        if "route_choices" not in shared:
            names = [(route.pk, str(route)) for route in Route.objects.order_by("name")]
            shared["route_choices"] = [("", "---------"), *names]
        formset.form.routes = shared["route_choices"]
        return formset

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Offer one to a key that has none; a form that nobody sees would ask for its choices."""
        has_one = obj is not None and hasattr(obj, "sending_profile")
        return not has_one and super().has_add_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let the profile of a revoked key be read, not edited."""
        if obj is not None and obj.revoked_at is not None:
            return False
        return super().has_change_permission(request, obj)


admin.site.unregister(ApiKey)


@admin.register(ApiKey)
class SendingKeyAdmin(ApiKeyAdmin):
    """The pages of the keys, with what each of them sends."""

    list_display = (  # type: ignore[assignment]
        *ApiKeyAdmin.list_display[:3],
        "template",
        "sender",
        *ApiKeyAdmin.list_display[3:],
    )
    # What is known is read seldom: what the key sends comes before it.
    fieldsets: Any = (
        *ApiKeyAdmin.fieldsets[:-1],
        (
            ApiKeyAdmin.fieldsets[-1][0],
            {"fields": ApiKeyAdmin.fieldsets[-1][1]["fields"], "classes": ("collapse",)},
        ),
    )
    show_full_result_count = True
    inlines = (SendingProfileInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        """Read the profiles of all rows at once."""
        return super().get_queryset(request).select_related("sending_profile__template")

    @display(description="Template")
    def template(self, key: ApiKey) -> str:
        """Show which template the key sends."""
        profile = getattr(key, "sending_profile", None)
        return str(profile.template) if profile and profile.template else "none: sends nothing"

    @display(description="Sender")
    def sender(self, key: ApiKey) -> str:
        """Show the sender of a request that names none."""
        profile = getattr(key, "sending_profile", None)
        return profile.sender_address if profile else ""

    def what_is_missing(self, key: ApiKey) -> list[str]:
        """Name the template, the sender and the route as far as there is none."""
        profile: SendingProfile = getattr(key, "sending_profile", None) or SendingProfile()
        missing = _lacks_of_template(profile.template)
        if not profile.sender_address:
            missing.append(
                "No sender: give the key a sender address, or name an addresser in every request."
            )
        if route_of(profile) is None:
            missing.append("No route: add a default route, or choose an active one for the key.")
        return missing


def _lacks_of_template(template: Template | None) -> list[str]:
    if template is None:
        return ["No template: choose on the page of the key what it sends."]
    if template.current_version_id is None:
        return [f"The template {template} has no wording yet: write one."]
    if not template.is_active:
        return [f"The template {template} is disabled: enable it, or choose another."]
    return []


def _address(text: str) -> str:
    try:
        return parse_address(text).address
    except InvalidAddress as error:
        raise ValidationError(str(error)) from None
