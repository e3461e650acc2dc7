"""Let nobody into the dashboard who has given the password only, where more is asked for."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.deprecation import MiddlewareMixin

from guard import second_factor
from guard.second_factor import SESSION_KEY


class SecondFactorGate(MiddlewareMixin):
    """A middleware after Django's authentication.

    Who still has to show a second factor, or to set one up, counts as nobody, and is led to the
    page for that from any page of the dashboard. `request.half_signed_in` is who it is, for that
    page alone.
    """

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Lead to the page that is due."""
        user: Any = request.user
        page = _due(request, user) if user.is_authenticated else None
        if page is None or request.path == reverse("admin:logout"):
            return None
        request.half_signed_in = user  # type: ignore[attr-defined]
        request.user = AnonymousUser()
        if request.path.startswith(reverse("admin:index")) and request.path != page:
            return HttpResponseRedirect(f"{page}?{urlencode({'next': request.get_full_path()})}")
        return None


def _due(request: HttpRequest, user: Any) -> str | None:
    """Return the page that the person has to pass, None when they are in."""
    factor = second_factor.factor_of(user)
    if factor is None:
        return reverse("second-factor-set-up") if settings.REQUIRE_SECOND_FACTOR else None
    is_shown = request.session.get(SESSION_KEY) == factor.pk
    return None if is_shown else reverse("second-factor")
