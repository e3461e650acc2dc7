"""Show the page behind the link, and take the no: by its button or by one click (RFC 8058)."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from sending.models import Message
from unsubscribe import commands, tokens
from unsubscribe.models import Unsubscribe

CSP = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"


# No cookie and no CSRF token: the mail program posts without either, and the token in the
# address is the permission.
@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """GET and HEAD show a button and change nothing; POST unsubscribes. Idempotent."""
    message = _message(token)
    if message is None:
        return _page(request, "unsubscribe/unknown.html", status=404)
    if request.method != "POST":
        return _page(request, "unsubscribe/ask.html", address=_masked(message.recipient))
    is_one_click = request.POST.get("List-Unsubscribe") == "One-Click"
    method = Unsubscribe.Method.ONE_CLICK if is_one_click else Unsubscribe.Method.PAGE
    commands.unsubscribe(message, method=method, now=timezone.now())
    return _page(request, "unsubscribe/done.html", address=_masked(message.recipient))


def _message(token: str) -> Message | None:
    message_id = tokens.read(token)
    return Message.objects.filter(pk=message_id).first() if message_id else None


def _masked(address: str) -> str:
    """Show enough for its owner to know it, too little for anybody else."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}"


def _page(request: HttpRequest, template: str, *, status: int = 200, **facts: str) -> HttpResponse:
    response = render(request, template, facts, status=status)
    response["Content-Security-Policy"] = CSP
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex"
    return response
