"""The pages of the keys: the list, the form, and the secret that is shown once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.http import require_GET
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from apikeys import commands
from apikeys.admin.forms import ApiKeyForm, RevokeForm, RotateForm
from apikeys.errors import KeyRevoked
from apikeys.models import ApiKey, live_prefixes

EXAMPLE_BODY = '{"recipient": "you@example.com"}'


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):
    """Keys are revoked, never deleted: what they sent keeps its origin."""

    form = ApiKeyForm
    list_display = (
        "name",
        "prefixes",
        "state",
        "scope_list",
        "network_list",
        "last_used_at",
        "expires_at",
    )
    list_filter = ("is_active",)
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("name", "secrets__prefix")
    ordering = ("-created_at",)
    actions_detail = ("rotate_secret", "revoke")
    fieldsets = (
        (None, {"fields": ("name", "is_active", "paused_reason", "expires_at")}),
        ("What it may do", {"fields": ("scopes", "networks", "rate_per_second", "quota_per_day")}),
        (
            "What is known",
            {
                "fields": (
                    "id",
                    "prefixes",
                    ("last_used_at", "last_used_address"),
                    ("created_at", "created_by"),
                    "revoked_at",
                )
            },
        ),
    )
    add_fieldsets = (
        (None, {"fields": ("name", "expires_at")}),
        ("What it may do", {"fields": ("scopes", "networks", "rate_per_second", "quota_per_day")}),
    )
    facts = (
        "id",
        "prefixes",
        "last_used_at",
        "last_used_address",
        "created_at",
        "created_by",
        "revoked_at",
    )

    # --- The list ---

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        """Read the secrets of all rows at once."""
        return super().get_queryset(request).prefetch_related("secrets")

    @display(description="Prefixes")
    def prefixes(self, key: ApiKey) -> str:
        """Show which secrets work now."""
        return ", ".join(live_prefixes(key.secrets.all(), now=timezone.now())) or "-"

    @display(
        description="State",
        label={"active": "success", "paused": "warning", "disabled": "warning"},
    )
    def state(self, key: ApiKey) -> str:
        """Show in a word whether the key works."""
        refused = key.why_refused(now=timezone.now())
        return refused or ("paused" if key.paused_reason else "active")

    @display(description="Scopes")
    def scope_list(self, key: ApiKey) -> str:
        """Show the scopes as text."""
        return ", ".join(key.scopes)

    @display(description="Networks")
    def network_list(self, key: ApiKey) -> str:
        """Show the networks as text."""
        return ", ".join(key.networks) or "everywhere"

    # --- The form ---

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> ApiKey | None:
        """Read the key once for a page that is looked at: each of its actions asks for it."""
        if request.method != "GET":
            return super().get_object(request, object_id, from_field)
        known: dict[str, ApiKey | None] = request.__dict__.setdefault("keys_of_page", {})
        if object_id not in known:
            known[object_id] = super().get_object(request, object_id, from_field)
        return known[object_id]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[str]:
        """Let a revoked key be read, not edited: it stays as it was."""
        decided = ApiKeyForm.Meta.fields if obj is not None and obj.revoked_at else ()
        return [*super().get_readonly_fields(request, obj), *self.facts, *decided]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: revoke instead."""
        return False

    def save_model(
        self, request: HttpRequest, obj: ApiKey, form: forms.ModelForm, change: bool
    ) -> None:
        """Store what was edited; a new key gets its secret, to be shown on the next page."""
        if change:
            # Only what was edited, so that a form opened earlier cannot undo a revocation.
            obj.save(update_fields=[name for name in form.changed_data if name != "paused_reason"])
            if "paused_reason" in form.changed_data:
                self._pause_or_resume(obj)
            return
        obj.created_by_id = request.user.pk
        obj.save(force_insert=True)
        secret = commands.issue_secret(key=obj, now=timezone.now())
        self._keep_for_display(request, obj, secret=secret)

    def _pause_or_resume(self, key: ApiKey) -> None:
        """Do as the person wrote: a reason pauses the key, none resumes it."""
        reason = key.paused_reason
        commands.resume_key(key=key, now=timezone.now())
        if reason.strip():
            commands.pause_key(key=key, reason=reason)

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Go to the page that shows the secret once."""
        return HttpResponseRedirect(self._url("secret", obj))

    # --- The secret ---

    def get_urls(self) -> list[URLPattern]:
        """Add the page of the secret."""
        view = self.admin_site.admin_view(require_GET(self.secret_page))
        own = path("<path:object_id>/secret/", view, name="apikeys_apikey_secret")
        return [own, *super().get_urls()]

    def secret_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show a secret that this session has just made, then forget it."""
        key = self._get_key(request, object_id)
        context = {
            "secret": request.session.pop(_session_name(key), None),
            "send_url": f"{settings.PUBLIC_URL}/api/batch_mail/api/send",
            "example_body": EXAMPLE_BODY,
            "missing": self.what_is_missing(key),
        }
        return self._page(request, "apikeys/secret.html", key, title="API key", **context)

    def what_is_missing(self, key: ApiKey) -> list[str]:
        """Return a sentence for each thing that the key needs before it can do its work.

        A key by itself needs nothing; what builds on keys knows better and overrides this.
        """
        return []

    def _keep_for_display(self, request: HttpRequest, key: ApiKey, *, secret: str) -> None:
        request.session[_session_name(key)] = secret

    # --- Rotate and revoke ---

    def has_rotate_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Allow with the right to change the key, as long as it is not revoked."""
        key = self.get_object(request, object_id) if object_id else None
        return key is not None and not key.revoked_at and self.has_change_permission(request, key)

    @action(description="Rotate secret", url_path="rotate", icon="key", permissions=["rotate"])
    def rotate_secret(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask about the grace, then replace the secret and show the new one."""
        key = self._get_key(request, object_id)
        form = RotateForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            grace = timedelta(hours=form.cleaned_data["grace_hours"])
            return self._rotate(request, key, grace=grace)
        return self._page(
            request,
            "apikeys/confirm.html",
            key,
            title="Rotate secret",
            question="The key gets a new secret, which the next page shows once.",
            button="Rotate secret",
            form=form,
        )

    def _rotate(self, request: HttpRequest, key: ApiKey, *, grace: timedelta) -> HttpResponse:
        try:
            with transaction.atomic():
                secret = commands.rotate_key(key=key, grace=grace, now=timezone.now())
                self.log_change(request, key, "Rotated the secret.")
        except KeyRevoked as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(self._url("change", key))
        self._keep_for_display(request, key, secret=secret)
        return HttpResponseRedirect(self._url("secret", key))

    @action(description="Revoke", url_path="revoke", icon="block", permissions=["rotate"])
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask whether it is meant, then refuse the key for ever."""
        key = self._get_key(request, object_id)
        if request.method == "POST":
            with transaction.atomic():
                commands.revoke_key(key=key, now=timezone.now())
                self.log_change(request, key, "Revoked the key.")
            messages.success(request, f'The API key "{key.name}" is revoked.')
            return HttpResponseRedirect(self._url("change", key))
        return self._page(
            request,
            "apikeys/confirm.html",
            key,
            title="Revoke",
            question="All secrets of the key stop working at once. This cannot be undone.",
            button="Revoke the key",
            form=RevokeForm(),
        )

    # --- What the pages share ---

    def _get_key(self, request: HttpRequest, object_id: str) -> ApiKey:
        key = self.get_object(request, object_id)
        if key is None:
            raise Http404("There is no such API key.")
        if not self.has_change_permission(request, key):
            raise PermissionDenied
        return key

    def _page(
        self, request: HttpRequest, template: str, key: ApiKey, **context: Any
    ) -> TemplateResponse:
        shared = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": key,
            "change_url": self._url("change", key),
        }
        return TemplateResponse(request, template, {**shared, **context})

    def _url(self, page: str, key: ApiKey) -> str:
        name = f"{self.admin_site.name}:apikeys_apikey_{page}"
        return reverse(name, args=[key.pk])


def _session_name(key: ApiKey) -> str:
    return f"new_api_key_secret_{key.pk}"
