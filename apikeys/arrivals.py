"""Know from which networks each key is used: the only writer of KeyNetwork.

Remembered in this process and stored a little later, so that no request waits for it.
"""

from __future__ import annotations

import logging
from collections import deque
from ipaddress import IPv4Address, ip_network
from uuid import UUID

from django.db import Error
from django.utils import timezone

from apikeys.addresses import IPAddress
from apikeys.later import Later
from apikeys.models import KeyNetwork

# A provider's line changes its address within such a network.
BITS = {4: 24, 6: 48}
MAX_REMEMBERED = 20_000
MAX_PER_KEY = 1000

log = logging.getLogger(__name__)

_seen: set[tuple[UUID, int, int]] = set()
_new: deque[tuple[UUID, str]] = deque(maxlen=MAX_REMEMBERED)


def note(*, key_id: UUID, address: IPAddress | None) -> None:
    """Remember the network; nothing is stored for one that is known."""
    if address is None:
        return
    all_bits = 32 if isinstance(address, IPv4Address) else 128
    number = int(address) >> (all_bits - BITS[address.version])
    name = (key_id, address.version, number)
    if name in _seen:
        return
    if len(_seen) >= MAX_REMEMBERED:
        _seen.clear()
    _seen.add(name)
    network = str(ip_network(f"{address}/{BITS[address.version]}", strict=False))
    _new.append((key_id, network))
    _later.ask()


def flush() -> None:
    """Store the networks that are new to this process."""
    while _new:
        key_id, network = _new.popleft()
        try:
            _store(key_id, network)
        except Error as error:
            _seen.clear()  # its next request is another chance
            log.warning("The network of a key could not be stored: %s", error)


def _store(key_id: UUID, network: str) -> None:
    known = KeyNetwork.objects.filter(key_id=key_id)
    if known.filter(network=network).exists() or known.count() >= MAX_PER_KEY:
        return
    KeyNetwork.objects.bulk_create(
        [KeyNetwork(key_id=key_id, network=network, first_at=timezone.now())],
        ignore_conflicts=True,
    )


_later = Later(flush)
