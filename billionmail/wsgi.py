"""Offer BillionMail to a WSGI server."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING

from django.apps import apps
from django.conf import settings
from django.core.wsgi import get_wsgi_application

from billionmail.api import BROKEN_OFF, envelope
from tracking.wsgi import WithHits

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billionmail.settings")


def with_chunked_bodies(inner: WSGIApplication) -> WSGIApplication:
    """Give `inner` a chunked body (RFC 9112 section 7.1) as one of known length.

    Django takes a request without Content-Length for one without a body.
    """

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        chunked = environ.get("HTTP_TRANSFER_ENCODING", "").strip().lower() == "chunked"
        if not chunked or not environ.get("wsgi.input_terminated"):
            return inner(environ, start_response)
        limit = settings.LARGE_BODIES.get(
            environ.get("PATH_INFO", ""), settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0
        )
        try:
            body = environ["wsgi.input"].read(limit + 1)
        except OSError:
            return _refusal(start_response, HTTPStatus.BAD_REQUEST, BROKEN_OFF)
        if len(body) > limit:
            msg = f"the request body is larger than {limit} bytes."
            return _refusal(start_response, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, msg)
        del environ["HTTP_TRANSFER_ENCODING"]
        environ |= {"CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body)}
        return inner(environ, start_response)

    return application


def _refusal(start_response: StartResponse, http_status: HTTPStatus, msg: str) -> list[bytes]:
    body = json.dumps(envelope(success=False, code=1005, msg=f"Sending failed: {msg}")).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response(f"{http_status.value} {http_status.phrase}", headers)
    return [body]


application = with_chunked_bodies(get_wsgi_application())
if apps.is_installed("tracking"):
    application = WithHits(application)
