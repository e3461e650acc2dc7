"""Show the page behind the link, and take the no: by its button or by one click (RFC 8058)."""

from __future__ import annotations

from datetime import datetime

from django.core.exceptions import (
    BadRequest,
    RequestDataTooBig,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.shortcuts import render
from django.utils import timezone, translation
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from sending.models import Message
from unsubscribe import commands, tokens
from unsubscribe.models import Unsubscribe
from unsubscribe.queries import has_said_no, words_for

CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
UNREADABLE = (
    BadRequest,
    MultiPartParserError,
    RequestDataTooBig,
    TooManyFieldsSent,
    TooManyFilesSent,
    UnreadablePostError,
)


# No cookie and no CSRF token: the mail program posts without either, and the token in the
# address is the permission.
@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """GET and HEAD show a button and change nothing; POST does what its button says. Idempotent.

    A POST without a word of ours unsubscribes, whatever else is in it.
    """
    with translation.override(translation.get_language_from_request(request)):
        message, now = _message(token), timezone.now()
        if message is None:
            return _page(request, "unknown", status=404)
        if request.method == "HEAD":
            return _headed(HttpResponse())
        if request.method == "POST":
            step = _act(request, message, now=now)
        else:
            step = "done" if has_said_no(message, now=now) else "ask"
        return _page_about(message, request, step, now=now)


def _act(request: HttpRequest, message: Message, *, now: datetime) -> str:
    """Do what was asked for; return the page that comes next."""
    asked = _field(request, "act")
    if asked == "resubscribe":
        commands.resubscribe(message, now=now)
        return "done" if has_said_no(message, now=now) else "back"
    if asked == "why":
        return _take_why(request, message, now=now)
    is_one_click = _field(request, "List-Unsubscribe") == "One-Click"
    method = Unsubscribe.Method.ONE_CLICK if is_one_click else Unsubscribe.Method.PAGE
    commands.unsubscribe(message, method=method, now=now)
    return "done"


def _take_why(request: HttpRequest, message: Message, *, now: datetime) -> str:
    if not has_said_no(message, now=now):
        return "ask"
    why = _field(request, "why")
    if why in Unsubscribe.Why.values:
        commands.tell_why(message, why=Unsubscribe.Why(why))
    return "thanks"


def _field(request: HttpRequest, name: str) -> str:
    """Return what was posted; nothing from a body that cannot be read: the no counts anyhow."""
    try:
        return request.POST.get(name, "")
    except UNREADABLE:
        return ""


def _message(token: str) -> Message | None:
    message_id = tokens.read(token)
    if message_id is None:
        return None
    return (
        Message.objects.only("recipient", "sender_address", "sender_name")
        .filter(pk=message_id)
        .first()
    )


def _masked(address: str) -> str:
    """Show enough for its owner to know it, too little for anybody else."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}"


def _page_about(
    message: Message, request: HttpRequest, step: str, *, now: datetime
) -> HttpResponse:
    return _page(
        request,
        step,
        address=_masked(message.recipient),
        words=words_for(message, language=translation.get_language() or ""),
        can_undo=step == "done" and commands.can_resubscribe(message, now=now),
        whys=Unsubscribe.Why.choices,
    )


def _page(request: HttpRequest, step: str, *, status: int = 200, **facts: object) -> HttpResponse:
    return _headed(render(request, f"unsubscribe/{step}.html", facts, status=status))


def _headed(response: HttpResponse) -> HttpResponse:
    """Let nothing be loaded, kept, indexed or told to others."""
    response["Content-Language"] = translation.get_language() or "en"
    response["Vary"] = "Accept-Language"
    response["Content-Security-Policy"] = CSP
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex"
    return response
