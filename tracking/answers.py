"""Answer the pixel and the links of mails: from the token alone, whatever else is away.

A hit is in the spool before its answer goes out. Nothing here asks the database, knows a session,
or tells from outside whether a token is good, but for where a good link leads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils.encoding import iri_to_uri

from apikeys.addresses import address_in
from tracking import tokens
from tracking.hits import GIF, USER_AGENT_LENGTH, Record
from tracking.spool import writer

METHODS = ("GET", "HEAD")
PURPOSES = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ")
PURPOSE_LENGTH = 50
UNKNOWN = b"This link is not valid: it is damaged, or was not made here.\n"

Headers = tuple[tuple[str, str], ...]

_NOT_KEPT: Headers = (
    ("Cache-Control", "no-store, no-cache, must-revalidate, private, max-age=0"),
    ("Pragma", "no-cache"),
    ("Expires", "0"),
    ("X-Robots-Tag", "noindex, nofollow"),
    ("X-Content-Type-Options", "nosniff"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of HTTP."""

    status: HTTPStatus
    headers: Headers
    body: bytes


def _whole(status: HTTPStatus, body: bytes, content_type: str, *more: tuple[str, str]) -> Answer:
    described = (("Content-Type", content_type), ("Content-Length", str(len(body))))
    return Answer(status, (*described, *more, *_NOT_KEPT), body)


_PICTURE = _whole(HTTPStatus.OK, GIF, "image/gif")
_NOT_FOUND = _whole(HTTPStatus.NOT_FOUND, UNKNOWN, "text/plain; charset=utf-8")


def pixel(environ: Mapping[str, Any], token: str) -> Answer:
    """Return the picture, for a forged token too; note the opening that a good one tells of."""
    message_id = tokens.read_message(token, keys=settings.SIGNING_KEYS)
    if message_id is not None:
        _note(environ, message_id, link=0)
    return _PICTURE


def click(environ: Mapping[str, Any], token: str) -> Answer:
    """Note the click and redirect to where the link leads; 404 for one that was not made here."""
    found = tokens.read_click(token, keys=settings.SIGNING_KEYS)
    if found is None:
        return _NOT_FOUND
    _note(environ, found.message_id, link=found.link)
    url = iri_to_uri(found.url)
    return _whole(
        HTTPStatus.FOUND,
        b"",
        "text/plain; charset=utf-8",
        ("Location", url),
        ("Referrer-Policy", "no-referrer"),
    )


def _note(environ: Mapping[str, Any], message_id: UUID, *, link: int) -> None:
    purposes = [environ[name] for name in PURPOSES if name in environ]
    record = Record(
        message_id=message_id,
        link=link,
        at=datetime.now(UTC),
        ip=str(address_in(environ) or ""),
        user_agent=environ.get("HTTP_USER_AGENT", "")[:USER_AGENT_LENGTH],
        method=environ["REQUEST_METHOD"],
        has_accept=bool(environ.get("HTTP_ACCEPT")),
        purpose=" ".join(purposes)[:PURPOSE_LENGTH],
    )
    writer.append(record.encoded())
