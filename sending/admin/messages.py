"""The pages of the messages: what happened to each and why; sending again and canceling."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import Truncator
from unfold.decorators import action, display

from sending import commands
from sending.addresses import InvalidAddress, parse_address
from sending.admin.base import RecordAdmin, with_preview_policy
from sending.admin.blocked import explanation, split_blocked
from sending.admin.filters import AcceptedFilter, KeyFilter, TemplateFilter
from sending.admin.timeline import MAX_EVENTS, STATUS_COLORS, timeline
from sending.delivery.assembly import assemble
from sending.errors import SendingError
from sending.models import Message, Status, in_batch
from sending.models.event import TRANSITIONS
from sending.models.message import WAITING

RESENDABLE = tuple(
    status
    for status, afters in TRANSITIONS.items()
    if Status.QUEUED in afters and status not in ("", Status.SENDING)
)
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
REASON_LENGTH = 50
LARGE = ("attribs", "template_version__html", "template_version__text")


@admin.register(Message)
class MessageAdmin(RecordAdmin):
    """Nobody writes a message here; `sending.commands` sends again and cancels."""

    list_display = (
        "recipient",
        "state",
        "why",
        "wording",
        "key",
        "accepted",
        "attempts",
    )
    list_display_links = ("recipient",)
    list_filter = ("status", AcceptedFilter, KeyFilter, TemplateFilter)
    list_select_related = ("api_key", "template_version__template")
    search_fields = ("recipient",)
    search_help_text = "A recipient's whole address, the id of a message or batch, or a Message-ID."
    actions = ("send_selected_again", "mark_selected_delivered", "cancel_selected")
    actions_detail = ("send_again", "mark_delivered", "cancel")
    change_form_outer_after_template = "sending/message.html"

    # --- Who may do what ---

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Allow the acts to whom Django gives the right to change messages."""
        return self.is_permitted(request, "change")

    def has_send_again_permission(self, request: HttpRequest, object_id: str) -> bool:
        """Allow in the states that another try can follow."""
        return self._is_in(request, object_id, RESENDABLE)

    def has_mark_delivered_permission(self, request: HttpRequest, object_id: str) -> bool:
        """Allow while nobody knows whether the message arrived."""
        return self._is_in(request, object_id, (Status.UNKNOWN,))

    def has_cancel_permission(self, request: HttpRequest, object_id: str) -> bool:
        """Allow while the message waits."""
        return self._is_in(request, object_id, WAITING)

    def _is_in(self, request: HttpRequest, object_id: str, statuses: Sequence[str]) -> bool:
        message = self.get_object(request, object_id)
        return (
            self.has_operate_permission(request)
            and message is not None
            and message.status in statuses
        )

    # --- The list ---

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        """Leave the large columns in the database until they are shown."""
        match = getattr(request, "resolver_match", None)
        found = super().get_queryset(request)
        is_list = match is not None and match.url_name == "sending_message_changelist"
        return found.defer(*LARGE) if is_list else found

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Message], search_term: str
    ) -> tuple[QuerySet[Message], bool]:
        """Look up by an index, or find nothing: a scan of millions of rows helps nobody."""
        term = search_term.strip()
        if not term:
            return queryset, False
        # Our Message-IDs are the id at a domain.
        identity = UUID.search(term)
        if identity:
            named = uuid.UUID(identity[0])
            return queryset.filter(Q(pk=named) | in_batch(named)), False
        try:
            address = parse_address(term)
        except InvalidAddress:
            return queryset.none(), False
        written = {term, address.address, address.suppression_key}
        return queryset.filter(recipient__in=written), False

    @display(description="Status", label=STATUS_COLORS)
    def state(self, message: Message) -> str:
        """Show the status as a coloured word."""
        return message.status

    @display(description="Reason")
    def why(self, message: Message) -> str:
        """Show the beginning of the reason; the page of the message has the whole."""
        return Truncator(message.reason).chars(REASON_LENGTH)

    @display(description="Template")
    def wording(self, message: Message) -> str:
        """Show which version was sent, and what the caller marked it with."""
        version = str(message.template_version or "")
        if not message.variant and not message.tags:
            return version
        words = [f"variant {message.variant}"] if message.variant else []
        return format_html(
            '<div>{}<small class="block text-subtle text-xs">{}</small></div>',
            version,
            ", ".join([*words, *message.tags]),
        )

    @display(description="API key")
    def key(self, message: Message) -> str:
        """Show who sent it."""
        return str(message.api_key)

    @display(description="Accepted")
    def accepted(self, message: Message) -> str:
        """Show when it came in, in the time zone of the dashboard."""
        moment = f"{timezone.localtime(message.accepted_at):%Y-%m-%d %H:%M}"
        return format_html('<span class="whitespace-nowrap">{}</span>', moment)

    @display(description="Attempts")
    def attempts(self, message: Message) -> int:
        """Show how often it was tried on the wire."""
        return message.attempt_count

    @admin.action(description="Send again", permissions=["operate"])
    def send_selected_again(
        self, request: HttpRequest, queryset: QuerySet[Message]
    ) -> HttpResponse | None:
        """Ask, then queue the selected messages once more, but for suppressed recipients."""
        chosen = list(queryset.filter(status__in=RESENDABLE)[: self.list_per_page])
        free, blocked = split_blocked(chosen)
        if blocked:
            # Queued they would end as suppressed, and what happened to them be forgotten.
            messages.warning(request, explanation(blocked))
        return self._act_on_list(
            request,
            free,
            command=commands.resend,
            title="Send again",
            question="of the selected messages can be sent again, as the mail they were. Those "
            "that may have arrived already could arrive twice.",
            done="queued again",
        )

    @admin.action(description="Mark delivered", permissions=["operate"])
    def mark_selected_delivered(
        self, request: HttpRequest, queryset: QuerySet[Message]
    ) -> HttpResponse | None:
        """Ask, then settle the selected messages of which nobody knew whether they arrived."""
        return self._act_on_list(
            request,
            list(queryset.filter(status=Status.UNKNOWN)[: self.list_per_page]),
            command=commands.mark_delivered,
            title="Mark delivered",
            question="of the selected messages are unknown and can be marked as delivered. They "
            "are not sent again then.",
            done="marked delivered",
        )

    @admin.action(description="Cancel", permissions=["operate"])
    def cancel_selected(
        self, request: HttpRequest, queryset: QuerySet[Message]
    ) -> HttpResponse | None:
        """Ask, then stop the selected messages that still wait."""
        return self._act_on_list(
            request,
            list(queryset.filter(status__in=WAITING)[: self.list_per_page]),
            command=commands.cancel,
            title="Cancel messages",
            question="of the selected messages still wait and can be stopped. They are never "
            "sent then.",
            done="canceled",
        )

    def _act_on_list(
        self,
        request: HttpRequest,
        chosen: list[Message],
        *,
        command: Callable[..., int],
        title: str,
        question: str,
        done: str,
    ) -> HttpResponse | None:
        if "confirmed" not in request.POST:
            question = f"{len(chosen)} {question}"
            return self.confirm_list(request, title=title, question=question, button=title)
        with transaction.atomic():
            number = command([message.pk for message in chosen], by=request.user.get_username())
            for message in chosen:
                self.log_change(request, message, f"{title}.")
        messages.success(request, f"{number} {done}.")
        return None

    # --- One message ---

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show all there is to know, with the mail in a frame that runs nothing."""
        return with_preview_policy(super().change_view(request, object_id, form_url, extra_context))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show nothing as a form: the template below shows all of it."""
        return []

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], **kwargs: Any
    ) -> HttpResponse:
        """Add the timeline, the attempts and the mail."""
        message = kwargs["obj"]
        attempts = message.attempts.select_related("route").order_by("number", "id")
        context |= {
            "title": f"Message to {message.recipient}",
            "color": STATUS_COLORS.get(message.status, ""),
            "timeline": timeline(message),
            "max_events": MAX_EVENTS,
            "attempts": [
                (attempt, STATUS_COLORS.get(Status(attempt.outcome), "")) for attempt in attempts
            ],
            "attribs": json.dumps(message.attribs, indent=2, ensure_ascii=False),
            **_mail_of(message),
        }
        return super().render_change_form(request, context, **kwargs)

    @action(
        description="Send again", url_path="send-again", icon="replay", permissions=["send_again"]
    )
    def send_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask whether it is meant, then queue the message once more, unless it is suppressed."""
        message = self.find(request, object_id)
        _, blocked = split_blocked([message])
        if blocked:
            messages.error(request, explanation(blocked))
            return self.back_to(message)
        if request.method != "POST":
            question = f"The same mail goes to {message.recipient} once more, under its Message-ID."
            if message.status == Status.UNKNOWN:
                question += " It may have arrived already: then there will be two copies."
            return self.confirm(
                request, message, title="Send again", question=question, button="Send again"
            )
        return self._act(request, message, command=commands.resend, done="Sent again.")

    @action(
        description="Mark delivered",
        url_path="mark-delivered",
        icon="done_all",
        permissions=["mark_delivered"],
    )
    def mark_delivered(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask whether it is meant, then settle a message of which nobody knew the end."""
        message = self.find(request, object_id)
        if request.method != "POST":
            question = f"You know that the mail to {message.recipient} arrived: it is not sent "
            question += "again then. A bounce that is reported later still counts."
            return self.confirm(
                request, message, title="Mark delivered", question=question, button="Mark delivered"
            )
        return self._act(
            request, message, command=commands.mark_delivered, done="Marked delivered."
        )

    @action(description="Cancel", url_path="cancel", icon="cancel", permissions=["cancel"])
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask whether it is meant, then stop a message that still waits."""
        message = self.find(request, object_id)
        if request.method != "POST":
            question = f"The mail to {message.recipient} is not sent then, now or later."
            return self.confirm(
                request, message, title="Cancel", question=question, button="Cancel the message"
            )
        return self._act(request, message, command=commands.cancel, done="Canceled.")

    def _act(
        self, request: HttpRequest, message: Message, *, command: Callable[..., int], done: str
    ) -> HttpResponse:
        with transaction.atomic():
            moved = command([message.pk], by=request.user.get_username())
            if moved:
                self.log_change(request, message, done)
        if moved:
            messages.success(request, done)
        else:
            messages.warning(request, "Nothing was done: the message has moved on meanwhile.")
        return self.back_to(message)


def _mail_of(message: Message) -> dict[str, Any]:
    """Return the context of the framed mail, or why there is none."""
    # Whoever looks at it here is not its recipient: no pixel, no links that are counted.
    message.track_opens = message.track_clicks = False
    if message.template_version is None:
        return {"mail_error": "Its wording is not stored."}
    try:
        return {"mail": assemble(message, domain=None)}
    except (SendingError, ValueError) as error:
        return {"mail_error": str(error)}
