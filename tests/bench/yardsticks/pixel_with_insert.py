"""Answer the pixel as one writes it first: check the token, INSERT, commit; no middleware."""

from __future__ import annotations

import os

os.environ["DJANGO_SETTINGS_MODULE"] = __name__

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path

from billionmail.settings import *  # noqa: F403
from tracking import tokens
from tracking.hits import GIF

ROOT_URLCONF = __name__
MIDDLEWARE = []


def pixel(request: HttpRequest, token: str) -> HttpResponse:
    """Answer 200 after the commit."""
    message_id = tokens.read_message(token, keys=settings.SIGNING_KEYS)
    if message_id is not None:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO bench_hit (message_id, ip, user_agent) VALUES (%s, %s, %s)",
                [
                    message_id,
                    request.META.get("REMOTE_ADDR"),
                    request.headers.get("User-Agent", ""),
                ],
            )
    return HttpResponse(GIF, content_type="image/gif", headers={"Cache-Control": "no-store"})


urlpatterns = [
    path("t/o/<str:token>.gif", pixel),
    path("", lambda request: HttpResponse()),
]
application = get_wsgi_application()
