"""What operators fill in to give, lift, carry in and look up standing orders."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from apikeys.models import ApiKey
from sending.addresses import InvalidAddress
from sending.commands.suppressions import MAX_AT_ONCE
from sending.models import Stream, Suppression
from sending.suppressions import read_rule

Reason = Suppression.Reason
RULES = (
    "An address; @example.com for everybody there; .example.com for its sub-domains too; "
    "pattern:*@mail*.example for a pattern in which * is any text."
)
# Nobody says these by hand: the bounces and the frequency cap find them out.
BY_HAND = [
    (reason.value, reason.label)
    for reason in (
        Reason.MANUAL,
        Reason.BLACKLIST,
        Reason.UNSUBSCRIBED,
        Reason.COMPLAINT,
        Reason.INVALID,
        Reason.HARD_BOUNCE,
    )
]


class SuppressionForm(forms.ModelForm):
    """Order that an address, a domain or a pattern gets no mail."""

    reason = forms.ChoiceField(choices=BY_HAND, widget=UnfoldAdminSelectWidget)

    class Meta:
        model = Suppression
        fields = ("address", "reason", "note", "expires_at")
        help_texts = {"address": RULES}

    def clean_address(self) -> str:
        """Return the rule as it is stored."""
        try:
            return read_rule(self.cleaned_data["address"])
        except InvalidAddress as error:
            raise ValidationError(str(error)) from None

    def clean(self) -> dict[str, Any]:
        """Refuse an order that stands."""
        cleaned = super().clean() or self.cleaned_data
        rule, reason = cleaned.get("address"), cleaned.get("reason")
        existing = Suppression.objects.filter(address=rule, reason=reason).first()
        if existing is not None and existing.expires_at is None:
            self.add_error(
                "address",
                f"{rule} gets no mail already, since {existing.created_at:%Y-%m-%d}: "
                f"{existing.reason}.",
            )
        return cleaned

    def validate_constraints(self) -> None:
        """Leave it to `clean`: one that expires is prolonged."""


class LiftForm(forms.Form):
    """Say why an order is lifted."""

    note = forms.CharField(
        label="Why",
        max_length=500,
        widget=UnfoldAdminTextInputWidget,
        help_text="It stays in the history of the address.",
    )


class PasteForm(forms.Form):
    """Give the same order about many rules."""

    addresses = forms.CharField(
        widget=UnfoldAdminTextareaWidget({"rows": 12}),
        help_text=f"One a line, at most {MAX_AT_ONCE}. {RULES}",
    )
    reason = forms.ChoiceField(choices=BY_HAND, widget=UnfoldAdminSelectWidget)
    note = forms.CharField(required=False, max_length=500, widget=UnfoldAdminTextInputWidget)

    def clean_addresses(self) -> list[str]:
        """Return the rules; raise ValidationError naming the bad lines."""
        rules, errors = [], []
        for number, line in enumerate(self.cleaned_data["addresses"].splitlines(), start=1):
            try:
                rules += [read_rule(line)] if line.strip() else []
            except InvalidAddress as error:
                errors.append(f"Line {number}, {line.strip()[:80]!r}: {error}")
        if errors:
            raise ValidationError(errors[:20])
        if len(rules) > MAX_AT_ONCE:
            raise ValidationError(
                f"There are {len(rules)} lines; {MAX_AT_ONCE} are allowed. Import a file instead."
            )
        return rules


class ImportForm(forms.Form):
    """Carry orders in from a file."""

    file = forms.FileField(
        label="CSV file",
        widget=UnfoldAdminFileFieldWidget,
        help_text="UTF-8. The first line names the columns: address, and if wanted reason, note, "
        "expires_at. Without such a line, one address in each. The default reason is manual.",
    )
    is_dry_run = forms.BooleanField(
        label="Only say what would happen",
        required=False,
        initial=True,
        widget=UnfoldBooleanSwitchWidget,
    )


class PersonalDataForm(forms.Form):
    """Say whose data is to be told or forgotten."""

    address = forms.CharField(max_length=320, widget=UnfoldAdminTextInputWidget)
    act = forms.ChoiceField(
        label="What to do",
        choices=[
            ("export", "Download everything that is stored, as JSON"),
            ("forget", "Forget the recipient, for ever"),
        ],
        widget=UnfoldAdminSelectWidget,
    )
    again = forms.CharField(
        label="The address again",
        required=False,
        max_length=320,
        widget=UnfoldAdminTextInputWidget,
        help_text="To forget, which cannot be undone.",
    )

    def clean(self) -> dict[str, Any]:
        """Refuse to forget whom only one of the fields names."""
        cleaned = super().clean() or self.cleaned_data
        names = [str(cleaned.get(name, "")).strip().casefold() for name in ("address", "again")]
        if cleaned.get("act") == "forget" and names[0] != names[1]:
            self.add_error("again", "Type the address a second time to confirm.")
        return cleaned


class CheckForm(forms.Form):
    """Ask what is decided about addresses."""

    addresses = forms.CharField(
        widget=UnfoldAdminTextareaWidget({"rows": 3}), help_text="One a line."
    )
    api_key = forms.ModelChoiceField(
        ApiKey.objects.order_by("name"),
        label="API key",
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="Whose choices count. Empty: the ones that a new key has.",
    )
    stream = forms.ChoiceField(
        label="Class of mail",
        choices=[("", "That of the key"), *Stream.choices],
        required=False,
        widget=UnfoldAdminSelectWidget,
    )
