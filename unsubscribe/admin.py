"""The words and the logo of the unsubscribe pages."""

from __future__ import annotations

import base64
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldBooleanSwitchWidget,
)

from sending.admin.base import OperatorAdmin
from unsubscribe.models import PageWording

MAX_LOGO_BYTES = 100 * 1024
# What the first bytes are. No SVG: it can hold scripts.
IMAGES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp"}


class PageWordingForm(forms.ModelForm):
    """Edit the words; a logo is uploaded and kept in the row."""

    upload = forms.FileField(
        label="Logo",
        required=False,
        help_text="PNG, JPEG, GIF or WebP of at most 100 KB. Empty: as it is.",
        widget=UnfoldAdminFileFieldWidget,
    )
    without_logo = forms.BooleanField(
        label="Remove the logo", required=False, widget=UnfoldBooleanSwitchWidget
    )

    class Meta:
        model = PageWording
        fields = (
            "sender_domain",
            "language",
            "sender_name",
            "question",
            "explanation",
            "button",
            "done",
        )
        widgets = {name: UnfoldAdminTextareaWidget({"rows": 3}) for name in ("explanation", "done")}

    def clean_upload(self) -> UploadedFile | None:
        """Refuse what is no image, or too large to be sent with every page."""
        given: UploadedFile | None = self.cleaned_data["upload"]
        if given is None:
            return None
        if (given.size or 0) > MAX_LOGO_BYTES:
            raise ValidationError(f"The logo has {given.size} bytes; {MAX_LOGO_BYTES} are allowed.")
        head = given.read(16)
        given.seek(0)
        if not any(head.startswith(magic) for magic in IMAGES):
            raise ValidationError("The file is no PNG, JPEG, GIF or WebP image.")
        return given

    def logo(self) -> str:
        """Return the logo as it is after this form, as a data URL."""
        given = self.cleaned_data["upload"]
        if given is None:
            return "" if self.cleaned_data["without_logo"] else self.instance.logo
        raw = given.read()
        kind = next(kind for magic, kind in IMAGES.items() if raw.startswith(magic))
        return f"data:image/{kind};base64,{base64.b64encode(raw).decode()}"


@admin.register(PageWording)
class PageWordingAdmin(OperatorAdmin):
    """One page for each sender domain and language."""

    form = PageWordingForm
    list_display = ("sender_domain", "language_name", "sender_name", "question")
    ordering = ("sender_domain__domain", "language")
    list_select_related = ("sender_domain",)
    fieldsets = (
        (
            None,
            {"fields": (("sender_domain", "language"), "sender_name", ("upload", "without_logo"))},
        ),
        (
            "Words",
            {
                "fields": ("question", "explanation", "button", "done"),
                "description": "What is empty stays as it is in the language of the recipient.",
            },
        ),
    )

    @display(description="Language")
    def language_name(self, wording: PageWording) -> str:
        """Show the language, or that it is for all."""
        return str(wording.get_language_display() or "every language")

    def save_model(self, request: HttpRequest, obj: PageWording, form: Any, change: bool) -> None:
        """Store the words, and the logo with them."""
        obj.logo = form.logo()
        super().save_model(request, obj, form, change)
