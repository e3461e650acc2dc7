"""Spare programs what only people need: sessions, logins, CSRF tokens, messages, frames.

A caller of ``/api/`` has a key and no cookie; looking for cookies took a tenth of its request.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.deprecation import MiddlewareMixin

FOR_PROGRAMS = "/api/"


class ForPeople(MiddlewareMixin):
    """Stand before a middleware of Django's and let requests of programs pass by it."""

    def __call__(self, request: HttpRequest) -> Any:
        """Answer."""
        if request.path_info.startswith(FOR_PROGRAMS):
            return self.get_response(request)
        return super().__call__(request)


class Sessions(ForPeople, SessionMiddleware):
    """Know the session of a person."""


class CsrfTokens(ForPeople, CsrfViewMiddleware):
    """Refuse what another site makes a person's browser send.

    A view below ``/api/`` that is not exempt is still refused without a token.
    """


class Logins(ForPeople, AuthenticationMiddleware):
    """Know the person."""


class Messages(ForPeople, MessageMiddleware):
    """Keep what is to be told to a person on the next page."""
