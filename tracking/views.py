"""Answer the pixel and the links of mails: from the token alone, whatever else is away.

A hit is in the spool before its answer goes out. Neither view asks the database, knows a session,
or tells from outside whether a token is good, but for where a good link leads.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.encoding import iri_to_uri
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from apikeys.addresses import client_address
from tracking import tokens
from tracking.hits import GIF, USER_AGENT_LENGTH, Record
from tracking.spool import writer

PURPOSES = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ")
PURPOSE_LENGTH = 50
NOT_KEPT = {
    "Cache-Control": "no-store, no-cache, must-revalidate, private, max-age=0",
    "Pragma": "no-cache",
    "Expires": "0",
    "X-Robots-Tag": "noindex, nofollow",
}
PIXEL_HEADERS = NOT_KEPT | {"Content-Type": "image/gif", "Content-Length": str(len(GIF))}
UNKNOWN = b"This link is not valid: it is damaged, or was not made here.\n"
UNKNOWN_HEADERS = NOT_KEPT | {
    "Content-Type": "text/plain; charset=utf-8",
    "Content-Length": str(len(UNKNOWN)),
}
MOVED_HEADERS = NOT_KEPT | {"Content-Length": "0", "Referrer-Policy": "no-referrer"}


@csrf_exempt  # so that another method is told so, and nothing else
@require_safe
def pixel(request: HttpRequest, token: str) -> HttpResponse:
    """Return the picture, for a forged token too; note the opening that a good one tells of."""
    message_id = tokens.read_message(token, keys=settings.SIGNING_KEYS)
    if message_id is not None:
        _note(request, message_id, link=0)
    return HttpResponse(GIF, headers=PIXEL_HEADERS)


@csrf_exempt
@require_safe
def click(request: HttpRequest, token: str) -> HttpResponse:
    """Note the click and redirect to where the link leads; 404 for one that was not made here."""
    found = tokens.read_click(token, keys=settings.SIGNING_KEYS)
    if found is None:
        return HttpResponse(UNKNOWN, status=404, headers=UNKNOWN_HEADERS)
    _note(request, found.message_id, link=found.link)
    return HttpResponse(
        status=302,
        headers=MOVED_HEADERS | {"Location": iri_to_uri(found.url)},
        content_type="text/plain",
    )


def _note(request: HttpRequest, message_id: UUID, *, link: int) -> None:
    meta = request.META
    purposes = [meta[name] for name in PURPOSES if name in meta]
    record = Record(
        message_id=message_id,
        link=link,
        at=datetime.now(UTC),
        ip=str(client_address(request) or ""),
        user_agent=meta.get("HTTP_USER_AGENT", "")[:USER_AGENT_LENGTH],
        method=request.method or "",
        has_accept=bool(meta.get("HTTP_ACCEPT")),
        purpose=" ".join(purposes)[:PURPOSE_LENGTH],
    )
    writer.append(record.encoded())
