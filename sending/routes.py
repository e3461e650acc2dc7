"""Choose the route of a message, and open transports for it."""

from __future__ import annotations

import json
import socket
from typing import Any

from django.conf import settings

from sending.errors import ConfigurationError, Phase
from sending.models import Route, SendingProfile
from sending.transports import AnymailTransport, SmtpTransport, Transport


def route_of(profile: SendingProfile) -> Route | None:
    """Return the key's route or else the default one; None when there is neither."""
    return own_route(profile) or default_route()


def own_route(profile: SendingProfile) -> Route | None:
    """Return the route that the key names, None when it names none or a disabled one."""
    route = profile.route
    return route if route is not None and route.is_active else None


def default_route() -> Route | None:
    """Return the route of keys that name none."""
    return Route.objects.filter(is_default=True, is_active=True).first()


def open_transport(route: Route) -> Transport:
    """Return a transport of its own for `route`; it connects when it is first used.

    Raises ConfigurationError when the route cannot be used as it is configured.
    """
    if route.kind == Route.Kind.ANYMAIL:
        return AnymailTransport(backend=route.backend, options=backend_options(route))
    return smtp_transport(route)


def smtp_transport(route: Route) -> SmtpTransport:
    """Return a transport for a route to an SMTP server; it connects when it is first used."""
    return SmtpTransport(
        host=route.host,
        port=route.port,
        tls=route.tls,
        username=route.username,
        password=route.password,
        verify_certificate=route.verify_certificate,
        local_hostname=ehlo_name(),
        connect_timeout_seconds=route.connect_timeout_seconds,
        command_timeout_seconds=route.command_timeout_seconds,
        data_timeout_seconds=route.data_timeout_seconds,
    )


def backend_options(route: Route) -> dict[str, Any]:
    """Return the keyword arguments of the route's backend; raise ConfigurationError if not JSON."""
    try:
        options = json.loads(route.options or "{}")
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            f"The options of the route {route.name} are not JSON: {error}", phase=Phase.CONNECT
        ) from None
    if not isinstance(options, dict):
        raise ConfigurationError(
            f"The options of the route {route.name} are not a JSON object.", phase=Phase.CONNECT
        )
    return options


def ehlo_name() -> str:
    """Return the name we greet with (RFC 5321 section 4.1.1.1)."""
    return settings.EHLO_NAME or socket.getfqdn()
