"""Translate between people and the lists that a key stores."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
)

from apikeys.addresses import canonical_networks
from apikeys.models import ApiKey, Scope, default_scopes

GRACE_HOURS = [
    (0, "Stop at once"),
    (1, "Keep working for 1 hour"),
    (24, "Keep working for 24 hours"),
    (7 * 24, "Keep working for 7 days"),
]


class NetworksField(forms.Field):
    """A list of networks, edited as text with one a line."""

    def prepare_value(self, value: Any) -> Any:
        """Return the text for the list; text that was refused stays as it was typed."""
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: str | None) -> list[str]:
        """Return the networks in their stored form; raise ValidationError naming every bad line."""
        networks: list[str] = []
        errors: list[str] = []
        for number, line in enumerate((value or "").splitlines(), start=1):
            if not line.strip():
                continue
            try:
                networks += canonical_networks([line])
            except ValueError as error:
                errors.append(f"Line {number}: {error}")
        if errors:
            raise forms.ValidationError(errors)
        return list(dict.fromkeys(networks))


class ApiKeyForm(forms.ModelForm):
    """Edit what an operator decides about a key."""

    scopes = forms.MultipleChoiceField(
        choices=Scope.choices,
        initial=default_scopes,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        error_messages={"required": "Choose what the key may do: at least one."},
    )
    networks = NetworksField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text="Addresses and networks that the key may be used from, one a line, such as "
        "203.0.113.7 or 2001:db8::/32. Empty: from everywhere.",
    )

    class Meta:
        model = ApiKey
        fields = (
            "name",
            "is_active",
            "paused_reason",
            "scopes",
            "networks",
            "expires_at",
            "rate_per_second",
            "quota_per_day",
        )
        widgets = {"paused_reason": UnfoldAdminTextareaWidget(attrs={"rows": 2})}


class RotateForm(forms.Form):
    """Ask what becomes of the secret in use."""

    grace_hours = forms.TypedChoiceField(
        label="The secret in use now",
        choices=GRACE_HOURS,
        coerce=int,
        initial=24,
        widget=UnfoldAdminSelectWidget,
    )


class RevokeForm(forms.Form):
    """Ask nothing: the question is the page."""
