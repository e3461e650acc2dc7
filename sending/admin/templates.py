"""The pages of the templates: the form, the versions, the preview, the test mail."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from unfold.decorators import action, display
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from apikeys.errors import ApiKeyError
from apikeys.models import ApiKey
from sending import commands
from sending.admin.base import OperatorAdmin, with_preview_policy
from sending.commands.templates import check_sources
from sending.errors import SendingError
from sending.models import Template, TemplateVersion

CODE = {"spellcheck": "false", "style": "font-family: ui-monospace, monospace"}
SHOWN_VERSIONS = 50


class TemplateForm(forms.ModelForm):
    """Edit a template and the wording of its current version."""

    subject = forms.CharField(
        max_length=500,
        widget=UnfoldAdminTextInputWidget,
        help_text="A value that the caller gives as attribs.name stands as {{.API.name}}.",
    )
    html = forms.CharField(
        label="HTML",
        required=False,
        strip=False,
        widget=UnfoldAdminTextareaWidget({"rows": 18, **CODE}),
        help_text="Values are escaped. {{ UnsubscribeURL . }} is the recipient's own link.",
    )
    text = forms.CharField(
        required=False,
        strip=False,
        widget=UnfoldAdminTextareaWidget({"rows": 8, **CODE}),
        help_text="Empty: made from the HTML.",
    )

    class Meta:
        model = Template
        fields = ("name", "slug", "is_active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        version = self.instance.current_version
        for name in ("subject", "html", "text"):
            if version is not None and name in self.fields:
                self.initial.setdefault(name, getattr(version, name))

    def clean_html(self) -> str:
        """Store the line ends of this system, not those of the form's wire format."""
        return self.cleaned_data["html"].replace("\r\n", "\n")

    def clean_text(self) -> str:
        """Do as `clean_html`."""
        return self.cleaned_data["text"].replace("\r\n", "\n")

    def clean(self) -> dict[str, Any]:
        """Say at the field what is wrong with a source, with its line and column.

        The top of the page says it too: a field far down the long form is not seen.
        """
        cleaned = super().clean() or self.cleaned_data
        if "subject" not in cleaned:
            return cleaned
        try:
            check_sources(**self.wording)
        except ValidationError as error:
            for field, texts in error.message_dict.items():
                self.add_error(field, texts)
                self.add_error(None, f"{self[field].label}: {' '.join(texts)}")
        return self.cleaned_data

    @property
    def wording(self) -> dict[str, str]:
        """What a version is made of."""
        return {name: self.cleaned_data[name] for name in ("subject", "html", "text")}


class PreviewForm(forms.Form):
    """Ask for the values that a mail is rendered with."""

    attribs = forms.JSONField(
        label="Sample values (attribs)",
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 8, **CODE}),
        error_messages={"invalid": 'Give a JSON object, such as {"name": "Ann"}.'},
    )

    def clean_attribs(self) -> dict[str, Any]:
        """Refuse JSON that is not an object."""
        attribs = self.cleaned_data["attribs"] or {}
        if not isinstance(attribs, dict):
            raise ValidationError('Give a JSON object, such as {"name": "Ann"}.')
        return attribs


class TestForm(PreviewForm):
    """Ask where a test goes, and in whose name."""

    to = forms.CharField(
        max_length=320,
        widget=UnfoldAdminTextInputWidget({"type": "email"}),
        help_text="The mail is real: it is accepted, sent and recorded like any other.",
    )
    key = forms.ModelChoiceField(
        queryset=ApiKey.objects.none(),
        empty_label=None,
        label="In the name of",
        widget=UnfoldAdminSelectWidget,
        help_text="The key gives the sender, the route and the flags; its quota counts.",
    )
    field_order = ("to", "key", "attribs")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["key"].queryset = ApiKey.objects.filter(  # type: ignore[attr-defined]
            is_active=True,
            sending_profile__template__is_active=True,
            sending_profile__template__current_version__isnull=False,
        ).order_by("name")


@admin.register(Template)
class TemplateAdmin(OperatorAdmin):
    """Saving a changed wording makes a new version; what was sent keeps its own."""

    form = TemplateForm
    list_display = ("name", "slug", "is_active", "version", "version_count", "key_count")
    list_filter = ("is_active",)
    search_fields = ("name", "slug")
    ordering = ("name",)
    prepopulated_fields = {"slug": ("name",)}
    actions_detail = ("show_preview", "send_test")
    change_form_outer_after_template = "sending/template_versions.html"
    fieldsets = (
        (None, {"fields": ("name", "slug", "is_active")}),
        ("Wording", {"fields": ("subject", "html", "text")}),
    )

    # --- The list ---

    def get_queryset(self, request: HttpRequest) -> QuerySet[Template]:
        """Count versions and keys in the same query."""
        return (
            super()
            .get_queryset(request)
            .select_related("current_version")
            .defer("current_version__html", "current_version__text")
            .annotate(
                versions_made=Count("versions", distinct=True),
                keys_using=Count("sendingprofile", distinct=True),
            )
        )

    @display(description="Current version")
    def version(self, template: Template) -> str:
        """Show the number of the version that is sent."""
        return f"v{template.current_version.number}" if template.current_version else ""

    @display(description="Versions")
    def version_count(self, template: Any) -> int:
        """Show how many versions there are."""
        return template.versions_made

    @display(description="Keys using it")
    def key_count(self, template: Any) -> int:
        """Show how many keys send this template."""
        return template.keys_using

    # --- The form ---

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: messages keep their wording. Switch the template off instead."""
        return False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show people who may only look the facts; the wording is under Preview."""
        if obj is not None and not self.has_change_permission(request, obj):
            return self.fieldsets[:1]
        return self.fieldsets

    def save_model(self, request: HttpRequest, obj: Template, form: Any, change: bool) -> None:
        """Store the template, and its wording as a version if it is new."""
        obj.save()
        version = commands.save_version(template=obj, by=request.user, **form.wording)  # type: ignore[arg-type]
        if change and {"subject", "html", "text"} & set(form.changed_data):
            messages.info(request, f"{version} is sent from now on.")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], **kwargs: Any
    ) -> HttpResponse:
        """Add the versions below the form."""
        template = kwargs.get("obj")
        if template is not None:
            versions = template.versions.select_related("created_by").defer("html", "text")
            context["versions"] = versions.order_by("-number")[:SHOWN_VERSIONS]
            context["can_restore"] = self.has_change_permission(request, template)
        return super().render_change_form(request, context, **kwargs)

    # --- Preview ---

    @action(description="Preview", url_path="preview", icon="visibility", permissions=["view"])
    def show_preview(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show a version as a recipient would get it, with values that can be changed."""
        template = self.find(request, object_id, permission="view")
        version = self._version(template, request.GET.get("version"))
        form = PreviewForm(
            request.POST or None, initial={"attribs": commands.sample_values(version)}
        )
        attribs = form.initial["attribs"]
        if form.is_bound:
            attribs = form.cleaned_data["attribs"] if form.is_valid() else {}
        response = self.page(
            request,
            "template_preview",
            template,
            title=f"Preview of {version}",
            version=version,
            form=form,
            sources=[("Subject", version.subject), ("HTML", version.html), ("Text", version.text)],
            **_rendered(version, attribs),
        )
        return with_preview_policy(response)

    # --- Restore ---

    def get_urls(self) -> list[URLPattern]:
        """Add the page that restores a version."""
        view = self.admin_site.admin_view(self.restore)
        own = path("<path:object_id>/restore/", view, name="sending_template_restore")
        return [own, *super().get_urls()]

    def restore(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask whether it is meant, then send the wording of an older version again."""
        template = self.find(request, object_id)
        version = self._version(template, request.GET.get("version"))
        if request.method != "POST":
            return self.confirm(
                request,
                template,
                title=f"Restore {version}",
                question=f"The wording of {version} becomes a new version, which is sent from "
                "then on. Nothing is lost: the present one stays in the list.",
                button="Restore this version",
            )
        with transaction.atomic():
            new = commands.save_version(
                template=template,
                subject=version.subject,
                html=version.html,
                text=version.text,
                by=request.user,  # type: ignore[arg-type]
            )
            self.log_change(request, template, f"Restored v{version.number} as v{new.number}.")
        messages.success(request, f"{new} is sent from now on, with the wording of {version}.")
        return self.back_to(template)

    # --- Test ---

    @action(description="Send a test", url_path="test", icon="send", permissions=["change"])
    def send_test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask where to, then accept a real message."""
        template = self.find(request, object_id)
        version = self._version(template, None)
        initial = {
            "to": getattr(request.user, "email", ""),
            "attribs": commands.sample_values(version),
        }
        form = TestForm(request.POST or None, initial=initial)
        if form.is_valid():
            try:
                return self._accept(request, version, form.cleaned_data)
            except (SendingError, ApiKeyError) as error:
                form.add_error(None, str(error))
        return self.page(request, "template_test", template, title="Send a test", form=form)

    def _accept(
        self, request: HttpRequest, version: TemplateVersion, asked: dict[str, Any]
    ) -> HttpResponse:
        message = commands.accept_message(
            key=asked["key"], recipient=asked["to"], attribs=asked["attribs"], version=version
        )
        self.log_change(request, version.template, f"Sent a test of {version} ({message.id}).")
        messages.success(request, "Accepted. This page shows what becomes of it: reload it.")
        name = f"{self.admin_site.name}:sending_message_change"
        return HttpResponseRedirect(reverse(name, args=[message.id]))

    def _version(self, template: Template, number: str | None) -> TemplateVersion:
        """Return the version of this number, else the current one; raise Http404."""
        if number is None:
            if template.current_version is None:
                raise Http404("The template has no version yet: save it first.")
            return template.versions.get(pk=template.current_version.pk)
        if not number.isdecimal():
            raise Http404("A version is named by its number.")
        return get_object_or_404(template.versions, number=number)


def _rendered(version: TemplateVersion, attribs: dict[str, Any]) -> dict[str, Any]:
    """Return the context of a preview: the mail, or why there is none."""
    try:
        return {"preview": commands.preview(version=version, attribs=attribs)}
    except (SendingError, ValueError) as error:
        return {"preview_error": str(error)}
