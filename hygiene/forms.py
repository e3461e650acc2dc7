"""What is filled in to clean a list."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminFileFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from hygiene.commands import MAX_DAYS
from hygiene.models import Kind, Run, kinds_of


class StartForm(forms.Form):
    """Say which list is looked at, and how."""

    source = forms.ChoiceField(
        label="List",
        choices=Run.Source.choices,
        initial=Run.Source.STORED,
        widget=UnfoldAdminRadioSelectWidget,
    )
    file = forms.FileField(
        label="CSV file",
        required=False,
        widget=UnfoldAdminFileFieldWidget,
        help_text="UTF-8. The column called address or email is taken; without such a line, the "
        "first one.",
    )
    column = forms.CharField(
        label="Column of the file",
        required=False,
        max_length=100,
        widget=UnfoldAdminTextInputWidget,
        help_text="Only if it is called otherwise.",
    )
    batch_message_id = forms.UUIDField(
        label="The batch",
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Its id (X-Batch-ID), or that of any message of it.",
    )
    looks_up_domains = forms.BooleanField(
        label="Look up domains",
        required=False,
        initial=True,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Asks the DNS whether they take mail. No answer counts for nothing.",
    )
    never_engaged_days = forms.IntegerField(
        label="Nothing opened or clicked for so many days",
        initial=180,
        min_value=1,
        max_value=MAX_DAYS,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    period_days = forms.IntegerField(
        label="Compare with the rates of so many days",
        initial=30,
        min_value=1,
        max_value=MAX_DAYS,
        widget=UnfoldAdminIntegerFieldWidget,
    )

    def clean(self) -> dict[str, Any]:
        """Require what the chosen list needs, and drop what belongs to another."""
        cleaned = super().clean() or self.cleaned_data
        needed = {Run.Source.FILE: "file", Run.Source.BATCH: "batch_message_id"}
        for source, name in needed.items():
            if cleaned.get("source") != source:
                cleaned[name] = None
            elif not cleaned.get(name) and name not in self.errors:
                self.add_error(name, "It is needed for this list.")
        return cleaned


class ApplyForm(forms.Form):
    """Say for which findings an address is suppressed."""

    kinds = forms.MultipleChoiceField(
        label="Suppress these",
        choices=Kind.choices,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Those that are marked at first are certain; the others are for you to weigh.",
    )

    def __init__(self, given: Any = None, *, run: Run) -> None:
        super().__init__(given, initial={"kinds": [kind.value for kind in kinds_of(run.kinds)]})
        numbers = run.report.get("numbers", {})
        self.fields["kinds"].widget.choices = [
            (kind.value, f"{kind.label}: {numbers.get(kind.value, 0):,}") for kind in Kind
        ]
