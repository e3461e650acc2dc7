"""Decide whether a key may be used from this address, and for this."""

from __future__ import annotations

import logging
from typing import Any

from django.utils import timezone
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apikeys import arrivals, refusals
from apikeys.addresses import IPAddress, client_address, is_in_networks
from apikeys.commands import note_use
from apikeys.errors import AddressNotAllowed, InvalidKey, MissingScope
from apikeys.models import ApiKey, Scope

log = logging.getLogger(__name__)


class AddressAllowed(BasePermission):
    """Let a key in from its networks only, and remember its use; raise AddressNotAllowed."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return True or raise."""
        key = api_key(request)
        address = client_address(request)
        if not _is_allowed(key, address=address):
            log.warning(
                "The API key %r (%s) was refused: address %s is not in its networks.",
                key.name,
                key.pk,
                address or "unknown",
            )
            refusals.note(reason="network", key_id=key.pk, address=address)
            raise AddressNotAllowed(address)
        arrivals.note(key_id=key.pk, address=address)
        note_use(key=key, address=address, now=timezone.now())
        return True


def scope(name: str) -> type[BasePermission]:
    """Return the permission that lets in keys with this scope; raise ValueError for a typo."""
    required = Scope(name).value

    class HasScope(BasePermission):
        """Raise MissingScope for a key without the scope."""

        def has_permission(self, request: Request, view: Any) -> bool:
            key = api_key(request)
            if required not in key.scopes:
                refusals.note(reason="scope", key_id=key.pk, address=client_address(request))
                raise MissingScope(required)
            return True

    return HasScope


def scope_by_method(**names: str) -> type[BasePermission]:
    """Return the permission that asks for another scope by the method, as in GET="read"."""
    required = {method: scope(name) for method, name in names.items()}

    class HasScopeForMethod(BasePermission):
        """Raise MissingScope for a key without the scope; a method that is not named is refused."""

        def has_permission(self, request: Request, view: Any) -> bool:
            permission = required.get(request.method or "")
            return permission is not None and permission().has_permission(request, view)

    return HasScopeForMethod


def api_key(request: Request) -> ApiKey:
    """Return the key of an authenticated request; raise InvalidKey when there is none."""
    if not isinstance(request.auth, ApiKey):
        raise InvalidKey("the view does not authenticate with API keys")
    return request.auth


def _is_allowed(key: ApiKey, *, address: IPAddress | None) -> bool:
    try:
        return is_in_networks(address, networks=key.networks)
    except (ValueError, TypeError):
        log.exception("The networks of the API key %r (%s) are unreadable.", key.name, key.pk)
        return False
