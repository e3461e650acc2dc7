"""Answer every request with nothing: settings, URLs, view and WSGI application in one."""

from __future__ import annotations

from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

SECRET_KEY = "x" * 50
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = __name__
REQUEST_READ_SECONDS = 10.0  # read by BillionMail's gunicorn worker, which serves this too


def empty(request: HttpRequest) -> HttpResponse:
    """Answer 200."""
    return HttpResponse()


urlpatterns = [path("", empty)]
application = get_wsgi_application()
