"""Speak the one envelope of the HTTP API, for good news and bad: success, code, msg, data.

Errors of the apps carry ``code`` and ``http_status`` (and, where waiting helps,
``retry_after_seconds``); what Django, DRF or the database raise is translated here, so that a
caller of ``/api/`` never meets an HTML page.
"""

from __future__ import annotations

import codecs
import json
import logging
import math
import re
from collections.abc import Iterable, Mapping
from typing import IO, Any

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.shortcuts import render
from rest_framework import status
from rest_framework.exceptions import (
    APIException,
    MethodNotAllowed,
    ParseError,
    UnsupportedMediaType,
)
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

log = logging.getLogger(__name__)

LEGACY_PREFIX = "/api/batch_mail/"
MAX_BODY_BYTES = 256 * 1024
MAX_DEPTH = 20
STORAGE_RETRY_SECONDS = 5
READ_ONLY_STATE = "25006"  # SQLSTATE read_only_sql_transaction
BROKEN_OFF = "the request body broke off or came too slowly; nothing was accepted. Send it again."
SURROGATE = re.compile("[\ud800-\udfff]")


class BodyTooLarge(APIException):
    """The request body is larger than this view takes."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE

    def __init__(self, limit: int) -> None:
        super().__init__(f"The request body is larger than {limit} bytes.")


class JSONOnly(DefaultContentNegotiation):
    """Answer in JSON whatever Accept or ``?format=`` ask for, so that no answer is lost."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the first renderer."""
        first = next(iter(renderers))
        return first, str(first.media_type)


class StrictJSONParser(BaseParser):
    """Read a JSON object and refuse what could be read in two ways or harm the storage.

    Refused with a message: bytes that are not UTF-8, a byte order mark, duplicate keys, numbers
    that no number can hold (NaN, Infinity, 1e999, thousands of digits), more than 20 levels,
    NUL characters, lone surrogates, a body over the view's ``max_body_bytes``
    (256 KiB unless the view sets another).
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the object; raise ParseError or BodyTooLarge with the reason."""
        view = (parser_context or {}).get("view")
        limit = getattr(view, "max_body_bytes", MAX_BODY_BYTES)
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise BodyTooLarge(limit)
        return parse_object(raw)


def parse_object(raw: bytes) -> dict[str, Any]:
    """Return the JSON object in `raw`; raise ParseError with a message for the caller."""
    if raw.startswith(codecs.BOM_UTF8):
        raise ParseError("The request body begins with a byte order mark; send it without one.")
    try:
        parsed = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique_keys,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
    except UnicodeDecodeError:
        raise ParseError("The request body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise ParseError(
            f"The request body is not JSON: {error.msg} at line {error.lineno}, "
            f"column {error.colno}."
        ) from None
    except RecursionError:
        raise _too_deep() from None
    if not isinstance(parsed, dict):
        raise ParseError('The request body must be a JSON object, such as {"recipient": ...}.')
    _refuse_harmful(parsed)
    return parsed


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen = dict(pairs)
    if len(seen) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ParseError(f"The request body has the key {twice[:80]!r} twice.")
    return seen


def _no_constant(name: str) -> None:
    raise ParseError(f"The request body has {name}, which is not a JSON number.")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ParseError(f"The request body has the number {text[:20]}, which is too large.")
    return number


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # Python reads up to 4300 digits
        raise ParseError(
            f"The request body has an integer of {len(text)} characters; "
            "send a number that long as a string."
        ) from None


def _too_deep() -> ParseError:
    return ParseError(f"The request body is nested deeper than {MAX_DEPTH} levels.")


def _refuse_harmful(parsed: Any) -> None:
    """Walk the levels one after the other, so that depth costs no stack."""
    level = [parsed]
    for _ in range(MAX_DEPTH + 2):  # the values in the deepest container, and nothing below them
        if not level:
            return
        level = [child for value in level for child in _checked_children(value)]
    raise _too_deep()


def _checked_children(value: Any) -> list[Any]:
    if isinstance(value, str):
        if "\0" in value:
            raise ParseError("The request body has a NUL character (\\u0000).")
        if SURROGATE.search(value):
            raise ParseError("The request body has half a character (a lone surrogate).")
    elif isinstance(value, dict):
        return [*value.keys(), *value.values()]
    elif isinstance(value, list):
        return value
    return []


def envelope(*, success: bool, code: int, msg: str, data: Any = None) -> dict[str, Any]:
    """Return the body that every answer of the API has."""
    return {"success": success, "code": code, "msg": msg, "data": data}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Translate any expected exception into the envelope; None lets a defect surface as a 500."""
    response = _translate(error)
    if response is not None and settings.LEGACY_HTTP_200:
        path = context["request"].path if context.get("request") else ""
        if path.startswith(LEGACY_PREFIX):
            response.status_code = status.HTTP_200_OK
    return response


def _translate(error: Exception) -> Response | None:
    if hasattr(error, "code") and hasattr(error, "http_status"):
        return _answer(error.http_status, error.code, str(error), headers=_wait_headers(error))
    if isinstance(error, (OperationalError, InterfaceError)) or _is_read_only(error):
        log.error("The database did not answer: %s", error)
        return _answer(
            status.HTTP_503_SERVICE_UNAVAILABLE,
            1005,
            "Sending failed: the storage is not available; nothing was accepted. Try again.",
            headers={"Retry-After": str(STORAGE_RETRY_SECONDS)},
        )
    if isinstance(error, UnreadablePostError):
        return _answer(status.HTTP_400_BAD_REQUEST, 1005, f"Sending failed: {BROKEN_OFF}")
    if isinstance(error, APIException):
        return _answer(error.status_code, 1005, f"Sending failed: {_reason(error)}")
    return None


def _is_read_only(error: Exception) -> bool:
    """Tell whether the database takes no writes now, as after a failover; no OperationalError."""
    return getattr(error.__cause__, "sqlstate", None) == READ_ONLY_STATE


def _reason(error: APIException) -> str:
    if isinstance(error, UnsupportedMediaType):
        return "the Content-Type must be application/json."
    if isinstance(error, MethodNotAllowed):
        return f"{error.detail} Use POST."
    return str(error.detail)


def _wait_headers(error: Any) -> dict[str, str]:
    """Say when to come back, and how the limit stands (draft-ietf-httpapi-ratelimit-headers)."""
    headers = {}
    if getattr(error, "retry_after_seconds", None) is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    for name in ("limit", "remaining", "reset"):
        if getattr(error, name, None) is not None:
            headers[f"RateLimit-{name.title()}"] = str(getattr(error, name))
    return headers


def _answer(
    http_status: int, code: int, msg: str, *, headers: dict[str, str] | None = None
) -> Response:
    headers = dict(headers or {})
    if http_status == status.HTTP_401_UNAUTHORIZED:
        headers["WWW-Authenticate"] = "ApiKey"  # RFC 9110 section 11.6.1
    return Response(
        envelope(success=False, code=code, msg=msg), status=http_status, headers=headers
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what Django refuses before any view: a host name that is not ours, for example."""
    return error_page(
        request,
        400,
        "this server does not answer to that host name, or the request is malformed. "
        "The operator finds the host names in ALLOWED_HOSTS.",
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an unknown address: the envelope below /api/, a page elsewhere."""
    return error_page(request, 404, "there is nothing at this address.")


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer a defect of ours without its details: the envelope below /api/, a page elsewhere."""
    return error_page(request, 500, "something is broken here; the log of the server says what.")


def error_page(request: HttpRequest, http_status: int, msg: str) -> HttpResponse:
    """Answer with what is wrong: the envelope below /api/, a page elsewhere."""
    if f"{request.path}/".startswith("/api/"):
        body = envelope(success=False, code=1005, msg=f"Sending failed: {msg}")
        return JsonResponse(body, status=http_status)
    return render(request, "billionmail/error.html", {"message": msg}, status=http_status)
