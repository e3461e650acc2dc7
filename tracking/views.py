"""Answer the pixel and the links of mails where no WSGI server asks `tracking.wsgi`."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from tracking import answers
from tracking.answers import METHODS, Answer


@csrf_exempt  # so that another method is told so, and nothing else
@require_http_methods(METHODS)
def pixel(request: HttpRequest, token: str) -> HttpResponse:
    """Return the picture and note the opening."""
    return _response(answers.pixel(request.META, token))


@csrf_exempt
@require_http_methods(METHODS)
def click(request: HttpRequest, token: str) -> HttpResponse:
    """Redirect to where the link leads and note the click."""
    return _response(answers.click(request.META, token))


def _response(answer: Answer) -> HttpResponse:
    return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))
