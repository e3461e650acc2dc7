"""Choose the route of a message, and open transports for it."""

from __future__ import annotations

import json
import random
import socket
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import OuterRef, Q, Subquery

from apikeys.models import ApiKey
from sending import outages
from sending.errors import ConfigurationError, Phase
from sending.models import AMBIGUOUS, Attempt, FallbackRoute, Route, SendingProfile
from sending.transports import AnymailTransport, SimulatorTransport, SmtpTransport, Transport

NO_ROUTE = "No route out is configured: add a default route in the dashboard."
NO_ROUTE_DELAY = timedelta(minutes=1)
# What waits for a paused route does not come back all in the same second.
SPREAD_SECONDS = 20


@dataclass(frozen=True, slots=True)
class NoWay:
    """Why no route can take a message now, and how long it waits before it asks again."""

    reason: str
    delay: timedelta


class Ways:
    """The routes of some keys in their order, as they are at `now`; read once for many messages."""

    def __init__(self, profiles: Collection[SendingProfile], *, now: datetime) -> None:
        self._now = now
        self._default = default_route()
        self._further: dict[UUID, list[Route]] = defaultdict(list)
        for row in _fallbacks([profile.pk for profile in profiles]):
            self._further[row.api_key_id].append(row.route)
        self._probed: set[int] = set()
        self._healthy: dict[UUID, Route] = {}

    def choose(self, profile: SendingProfile | None, *, bound_to: int | None) -> Route | NoWay:
        """Return the first route of the key that can be used, or that which it is bound to.

        When all are down it is the first of those: its failure then waits as any other. A paused
        one takes a single message when its time has come, which shows whether it works again.
        """
        if bound_to is None and profile is not None and profile.pk in self._healthy:
            return self._healthy[profile.pk]
        listed = self._listed(profile)
        listed = [route for route in listed if route.pk == bound_to] or listed
        if not listed:
            return NoWay(NO_ROUTE, NO_ROUTE_DELAY)
        usable = [route for route in listed if self._is_open(route)]
        if not usable:
            return self._wait_for(listed)
        chosen = next((one for one in usable if not one.is_down(now=self._now)), usable[0])
        outages.watch(chosen)
        if bound_to is None and profile is not None and not chosen.is_paused():
            self._healthy[profile.pk] = chosen  # so it is for every message of this key
        return chosen

    def have_choice(self) -> bool:
        """Tell whether any of the keys has a further route."""
        return bool(self._further)

    def has_another(self, profile: SendingProfile | None, *, than: int) -> bool:
        """Tell whether a message of the key can take a route besides the one of this number."""
        return any(
            not route.is_paused() and not route.is_down(now=self._now)
            for route in self._listed(profile)
            if route.pk != than
        )

    def _listed(self, profile: SendingProfile | None) -> list[Route]:
        if profile is None:
            return [self._default] if self._default else []
        own, further = own_route(profile), self._further.get(profile.pk, [])
        # The default takes the first place of a key that names no route; it is not the last
        # resort of one that does.
        needs_default = own is None and (profile.route_id is None or not further)
        first = self._default if needs_default else own
        return [first, *(one for one in further if one != first)] if first else further

    def _is_open(self, route: Route) -> bool:
        if not route.is_paused():
            return True
        if route.pk in self._probed:
            return False
        self._probed.add(route.pk)
        return outages.take_probe(route, now=self._now)

    def _wait_for(self, listed: list[Route]) -> NoWay:
        first = listed[0]
        until = min(max(route.paused_until or self._now, self._now) for route in listed)
        spread = timedelta(seconds=1 + random.random() * SPREAD_SECONDS)  # noqa: S311
        return NoWay(outages.why_paused(first) + first.paused_reason, until - self._now + spread)


def bound_to_route(message_ids: Collection[UUID]) -> dict[UUID, int | None]:
    """Return the messages that may have arrived by a route already: no other is to carry them."""
    tries = Attempt.objects.filter(message__in=message_ids, kind=AMBIGUOUS)
    return dict(tries.values_list("message_id", "route_id"))


def _fallbacks(key_ids: Collection[UUID]) -> list[FallbackRoute]:
    """Return the further active routes of some keys, in their order."""
    listed = FallbackRoute.objects.filter(api_key__in=key_ids, route__is_active=True)
    return list(listed.select_related("route").order_by("position"))


def route_of(profile: SendingProfile) -> Route | None:
    """Return the first route that the key has or else the default one; None if there is none."""
    return own_route(profile) or _usual_or_further_route(profile)


def _usual_or_further_route(profile: SendingProfile) -> Route | None:
    """Return the default route, or else the first of the key's further ones; one statement."""
    places = FallbackRoute.objects.filter(api_key=profile.pk, route=OuterRef("pk"))
    routes = Route.objects.filter(is_active=True).alias(
        place=Subquery(places.order_by("position").values("position")[:1])
    )
    wanted = routes.filter(Q(is_default=True) | Q(place__isnull=False))
    return wanted.order_by("-is_default", "place").first()


def keys_without_route(keys: Collection[ApiKey]) -> list[ApiKey]:
    """Return those of some keys that have no active route while there is no default one."""
    profiles = SendingProfile.objects.filter(route__is_active=True).values("pk")
    further = FallbackRoute.objects.filter(route__is_active=True).values("api_key")
    with_one = set(profiles.union(further).values_list("pk", flat=True))
    return [key for key in keys if key.pk not in with_one]


def own_route(profile: SendingProfile) -> Route | None:
    """Return the route that the key names, None when it names none or a disabled one."""
    route = profile.route
    return route if route is not None and route.is_active else None


def default_route() -> Route | None:
    """Return the route of keys that name none."""
    return Route.objects.filter(is_default=True, is_active=True).first()


def is_simulated(recipient_domain: str) -> bool:
    """Tell whether mail to the domain goes to the simulator, whatever its key's route is."""
    return bool(settings.SIMULATOR_DOMAIN) and recipient_domain == settings.SIMULATOR_DOMAIN


def simulator_route() -> Route:
    """Return the route of simulated mail, made when it is first needed."""
    route = Route.objects.filter(kind=Route.Kind.SIMULATOR).order_by("pk").first()
    if route is None:
        route, _ = Route.objects.get_or_create(
            name="Simulated outcomes", defaults={"kind": Route.Kind.SIMULATOR}
        )
    return route


def open_transport(route: Route) -> Transport:
    """Return a transport of its own for `route`; it connects when it is first used.

    Raises ConfigurationError when the route cannot be used as it is configured.
    """
    if route.kind == Route.Kind.SIMULATOR:
        return SimulatorTransport()
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
