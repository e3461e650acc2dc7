"""Spare programs what only people need: sessions, logins, CSRF tokens, messages, frames.

A caller of ``/api/`` has a key and no cookie; looking for cookies took a tenth of its request. Who
opens a mail or follows its links, below ``/t/``, comes under the tracking domains too.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.middleware.common import CommonMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.deprecation import MiddlewareMixin

from billionmail.api import error_page
from guard.gate import SecondFactorGate

FOR_RECIPIENTS = "/t/"
FOR_PROGRAMS = ("/api/", "/hooks/", FOR_RECIPIENTS)


class ForPeople(MiddlewareMixin):
    """Stand before a middleware of Django's and let requests of programs pass by it."""

    def __call__(self, request: HttpRequest) -> Any:
        """Answer."""
        if request.path_info.startswith(FOR_PROGRAMS):
            return self.get_response(request)
        return super().__call__(request)


class NoNul(ForPeople, MiddlewareMixin):
    """Refuse a NUL in an address or a cookie: PostgreSQL cannot even be asked for such a text.

    The fields of forms refuse it themselves.
    """

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Look at what lists are filtered by, and at what names a session."""
        query = request.META.get("QUERY_STRING", "")
        if "%00" in query or "\0" in query or "\0" in "".join(request.COOKIES.values()):
            return error_page(
                request, 400, "the address or a cookie has a NUL character; no stored text has one."
            )
        return None


class Sessions(ForPeople, SessionMiddleware):
    """Know the session of a person."""


class CsrfTokens(ForPeople, CsrfViewMiddleware):
    """Refuse what another site makes a person's browser send.

    A view below ``/api/`` that is not exempt is still refused without a token.
    """


class Logins(ForPeople, AuthenticationMiddleware):
    """Know the person."""


class SecondFactor(ForPeople, SecondFactorGate):
    """Ask a person for more than the password."""


class Common(CommonMiddleware):
    """Refuse a host that is not ours, except where nothing depends on the host."""

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        """Look at the host."""
        if request.path_info.startswith(FOR_RECIPIENTS):
            return None
        return super().process_request(request)

    def process_response(self, request: HttpRequest, response: Any) -> Any:
        """Complete the answer; those to recipients are complete."""
        if request.path_info.startswith(FOR_RECIPIENTS):
            return response
        return super().process_response(request, response)


class Messages(ForPeople, MessageMiddleware):
    """Keep what is to be told to a person on the next page."""
