"""Take in a mailed report over HTTP, from a mail server that can run a program but not route."""

from __future__ import annotations

import hmac
import logging

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from tracking import addressees

log = logging.getLogger(__name__)

RETRY_SECONDS = 30
_TYPES = ("message/rfc822", "message/global", "application/octet-stream")


@csrf_exempt
@never_cache
@require_POST
def take_raw_report(request: HttpRequest) -> HttpResponse:
    """Write down one report: the body is the raw mail, ``?recipient=`` its envelope recipient.

    200 also for what is about no message of ours: the sender can do nothing about it. 503: nothing
    was written down, come again.
    """
    if not settings.REPORT_INTAKE or not any(settings.REPORT_INTAKE_SECRETS):
        return _refusal(404, "Raw reports are not taken here: REPORT_INTAKE is off.")
    if not _knows_secret(request):
        response = _refusal(401, "Give one of REPORT_INTAKE_SECRETS as a bearer token.")
        response["WWW-Authenticate"] = "Bearer"
        return response
    if request.content_type not in _TYPES:
        return _refusal(415, "Send the raw mail with the Content-Type message/rfc822.")
    max_bytes = settings.LARGE_BODIES[request.path]
    content = request.read(max_bytes + 1)
    if len(content) > max_bytes:
        return _refusal(413, f"The mail is longer than {max_bytes} octets.")
    try:
        told = addressees.take_mail(
            content, recipients=request.GET.getlist("recipient"), now=timezone.now()
        )
    except (DatabaseError, InterfaceError):
        log.exception("A raw report could not be written down")
        response = _refusal(503, "The report could not be written down; send it again.")
        response["Retry-After"] = str(RETRY_SECONDS)
        return response
    return JsonResponse({"understood": told})


def _knows_secret(request: HttpRequest) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return False
    verdicts = [
        hmac.compare_digest(given.strip().encode(), secret.encode())
        for secret in settings.REPORT_INTAKE_SECRETS
        if secret
    ]
    return any(verdicts)


def _refusal(status: int, text: str) -> JsonResponse:
    return JsonResponse({"error": text}, status=status)
