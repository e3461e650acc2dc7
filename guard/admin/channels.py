"""Where alerts are sent to."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminPasswordWidget

from guard import notices
from guard.models import AlertChannel, AlertNotice
from guard.notices import NotTaken
from sending.admin.base import OperatorAdmin


class AlertChannelForm(forms.ModelForm):
    """Edit a channel. A stored secret does not come out again, and stays with its URL."""

    url = forms.URLField(required=False, max_length=500, assume_scheme="https", label="URL")
    secret = forms.CharField(
        required=False,
        widget=UnfoldAdminPasswordWidget({"autocomplete": "new-password"}),
        help_text=f"{AlertChannel._meta.get_field('secret').help_text} Empty: as it is.",
    )

    class Meta:
        model = AlertChannel
        fields = ("name", "kind", "is_active", "recipient", "sender", "route", "url", "secret")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stored = self.instance.secret
        self.initial["secret"] = ""

    def clean_secret(self) -> str:
        """Keep what is stored when nothing is given; another URL needs another secret."""
        given: str = self.cleaned_data["secret"]
        return given or ("" if "url" in self.changed_data else self.stored)


@admin.register(AlertChannel)
class AlertChannelAdmin(OperatorAdmin):
    """Mailboxes and programs that are told of alerts; a test shows whether it works."""

    form = AlertChannelForm
    list_display = ("name", "kind", "target", "is_active", "state")
    list_select_related = ("route",)
    actions_detail = ("send_test",)
    autocomplete_fields = ("route",)
    conditional_fields = {
        **dict.fromkeys(("recipient", "sender", "route"), "kind == 'mail'"),
        **dict.fromkeys(("url", "secret"), "kind == 'webhook'"),
    }

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Leave the secret out for people who may only look."""
        names = AlertChannelForm.Meta.fields
        may_change = obj is None or self.has_change_permission(request, obj)
        return names if may_change else names[:-1]

    def has_send_test_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        """Allow to who may change the channel: a test leaves the machine."""
        return self.is_permitted(request, "change")

    @display(description="Target")
    def target(self, channel: AlertChannel) -> str:
        """Show who or what is told."""
        return channel.recipient if channel.kind == AlertChannel.Kind.MAIL else channel.url

    @display(
        description="Last", label={"sent": "success", "waiting": "warning", "failed": "danger"}
    )
    def state(self, channel: AlertChannel) -> Any:
        """Show what became of the newest notice, and why it did not get through."""
        newest: AlertNotice | None = channel.notices.order_by("-alert_id").first()
        if newest is None:
            return None
        return (
            newest.status,
            f"{newest.status}: {newest.answer}" if newest.answer else newest.status,
        )

    @action(description="Send a test", url_path="test", icon="send", permissions=["send_test"])
    def send_test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask whether it is meant, then send an alert about nothing and show the outcome."""
        channel = self.find(request, object_id)
        if request.method != "POST":
            return self.confirm(
                request,
                channel,
                title="Send a test",
                question="An alert that nothing happened is sent now.",
                button="Send",
            )
        try:
            notices.send_test(channel)
        except NotTaken as error:
            messages.error(request, f"It did not get through. {error}")
        else:
            messages.success(request, "It was taken.")
        self.log_change(request, channel, "Sent a test.")
        return self.back_to(channel)
