"""Keep the routes out, and try them."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.utils.module_loading import import_string

from apikeys.models import ApiKey
from sending import ledger, outages
from sending.errors import ConfigurationError
from sending.models import FallbackRoute, Route
from sending.routes import backend_options, open_transport
from sending.tasks import ring
from sending.transports import Finding


def save_route(*, route: Route) -> Route | None:
    """Store a route; one that is made the default takes that from the one before, at once.

    A route that was paused is tried anew. Returns the route that was the default until then, None
    when no other was.
    Raises ValidationError, by field, when no mail could leave by it.
    """
    check_settings(route)
    replaced = None
    with transaction.atomic():
        if route.is_default:
            others = Route.objects.filter(is_default=True).exclude(pk=route.pk)
            replaced = others.first()
            others.update(is_default=False)
        if route.pk:
            resume_route(route=route)
        route.save()
    return replaced


def resume_route(*, route: Route) -> bool:
    """Use a paused route again, for what waits for it too; return whether it was paused."""
    stored = Route.objects.filter(pk=route.pk).first()
    if stored is None or not outages.resume(route):
        return False
    ledger.hasten(reason_prefix=outages.why_paused(stored))
    transaction.on_commit(ring)
    return True


def set_fallback_routes(*, key: ApiKey, routes: Sequence[Route]) -> None:
    """Give a key these further routes, in this order, instead of those it has."""
    with transaction.atomic():
        FallbackRoute.objects.filter(api_key=key).delete()
        FallbackRoute.objects.bulk_create(
            FallbackRoute(api_key=key, route=route, position=position)
            for position, route in enumerate(routes, start=2)
        )


def check_settings(route: Route) -> None:
    """Raise ValidationError, by field, when no mail could leave by a route of these settings."""
    if route.kind == Route.Kind.SMTP:
        if not route.host.strip():
            raise ValidationError({"host": "Give the host name or address of the SMTP server."})
        return
    if route.kind == Route.Kind.SIMULATOR:
        return
    _check_backend(route.backend)
    try:
        backend_options(route)
    except ConfigurationError:
        raise ValidationError(
            {"options": 'Give a JSON object, such as {"server_token": "..."}, or nothing.'}
        ) from None


def check_route(*, route: Route) -> list[Finding]:
    """Connect to the next hop without sending anything; return what was found, good and bad.

    A paused route that works is resumed.
    """
    unsafe = [Finding(ok=False, text=text) for text in warnings_about(route)]
    try:
        transport = open_transport(route)
    except ConfigurationError as error:
        return [*unsafe, Finding(ok=False, text=str(error))]
    try:
        found = transport.check()
    finally:
        transport.close()
    if all(finding.ok for finding in found) and resume_route(route=route):
        found = [*found, Finding(ok=True, text="The route was paused; it is used again now.")]
    return [*found, *unsafe]


def warnings_about(route: Route) -> list[str]:
    """Return what works but should not stay so."""
    if route.kind != Route.Kind.SMTP or _is_loopback(route.host):
        return []
    if route.tls == Route.Tls.NONE:
        return [
            f"Mail and password travel to {route.host} in clear. Choose STARTTLS or TLS, unless "
            "the network between is yours alone."
        ]
    if not route.verify_certificate:
        return [
            f"The certificate of {route.host} is not verified, so that anybody between could "
            "read the mail. Switch the verification on."
        ]
    return []


def _check_backend(path: str) -> None:
    if not path:
        raise ValidationError(
            {"backend": "Give the backend, such as anymail.backends.postmark.EmailBackend."}
        )
    try:
        found = import_string(path)
    except ImportError as error:
        raise ValidationError({"backend": f"{path} cannot be imported: {error}"}) from None
    if not (isinstance(found, type) and issubclass(found, BaseEmailBackend)):
        raise ValidationError(
            {"backend": f"{path} is not a Django e-mail backend. Its class ends in EmailBackend."}
        )


def _is_loopback(host: str) -> bool:
    if host in ("localhost", "ip6-localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
