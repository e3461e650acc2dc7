"""Read IP addresses and networks, and find out which address a request comes from.

An IPv4 address written as IPv6 (``::ffff:192.0.2.1``, RFC 4291 section 2.5.5.2) is that IPv4
address everywhere here, because dual-stack sockets report it so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Any

from django.conf import settings
from django.http import HttpRequest

IPAddress = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAPPED_PREFIX_LENGTH = 96


def parse_address(text: str) -> IPAddress:
    """Return the address, without zone and not as mapped IPv4; raise ValueError."""
    address = ip_address(text.strip())
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))


def parse_network(text: str) -> Network:
    """Return the network; raise ValueError with a text for the person who wrote it.

    A network with host bits is refused, because it may be a mistyped address; so is one that
    covers all addresses, because an empty list says that without doubt.
    """
    try:
        interface = ip_interface(text.strip())
    except ValueError:
        interface = None
    if interface is None or "%" in text:
        raise ValueError(
            f"{text.strip()!r} is not an IP address or network. "
            "Write it like 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32."
        )
    network = _unmapped(interface.network)
    if network.prefixlen == 0:
        raise ValueError(
            f"{text.strip()!r} covers every address. Leave the list empty to allow everybody."
        )
    if interface.ip != interface.network.network_address:
        raise ValueError(
            f"{text.strip()!r} is an address inside a network. Write {network} for the network, "
            f"or {interface.ip} for this address alone."
        )
    return network


def _unmapped(network: Network) -> Network:
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < MAPPED_PREFIX_LENGTH:
        return network
    return IPv4Network((mapped, network.prefixlen - MAPPED_PREFIX_LENGTH))


def canonical_networks(entries: Iterable[str]) -> list[str]:
    """Return the networks in the one form that is stored, each once; raise ValueError."""
    return list(dict.fromkeys(str(parse_network(entry)) for entry in entries))


def is_in_networks(address: IPAddress | None, *, networks: list[str]) -> bool:
    """Return whether the stored networks admit the address: an empty list admits everybody.

    Raises ValueError or TypeError when what is stored is not a list of networks.
    """
    if not isinstance(networks, list):
        raise TypeError(f"The stored networks are {networks!r} instead of a list.")
    if not networks:
        return True
    if address is None:
        return False
    return any(address in network for network in [ip_network(text) for text in networks])


def client_address(request: HttpRequest) -> IPAddress | None:
    """Return the address of the caller, or None when it cannot be known."""
    return address_in(request.META)


def address_in(environ: Mapping[str, Any]) -> IPAddress | None:
    """Return the address of the caller from the environment of a request (PEP 3333), or None.

    Every trusted proxy appends the address of its own caller to X-Forwarded-For, so with
    TRUSTED_PROXY_COUNT proxies that many entries from the right are true; what stands left of
    them is written by the caller and never read. A missing or malformed entry, and the empty
    REMOTE_ADDR of a Unix socket, give None.
    """
    if settings.TRUSTED_PROXY_COUNT > 0:
        entries = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
        position = settings.TRUSTED_PROXY_COUNT
        text = entries[-position] if len(entries) >= position else ""
    else:
        text = environ.get("REMOTE_ADDR", "")
    try:
        return parse_address(text)
    except ValueError:
        return None
