"""Know the networks whose requests are a machine's: those of mail gateways and image proxies.

The list is short on purpose. It holds the address space from which these services deliver or check
mail, where no person browses; clouds that anybody can rent are not in it, but for Microsoft's,
from which Safe Links checks and Outlook on the web shows images.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

APPLE = "apple"
MICROSOFT = "microsoft"

_NETWORKS = {
    APPLE: "17.0.0.0/8 2620:149::/32",
    # AS8075: Exchange Online Protection, Defender, Outlook on the web.
    MICROSOFT: (
        "13.64.0.0/11 13.104.0.0/14 20.33.0.0/16 20.34.0.0/15 20.36.0.0/14 20.40.0.0/13 "
        "20.48.0.0/12 20.64.0.0/10 20.180.0.0/14 20.184.0.0/13 20.192.0.0/10 23.96.0.0/13 "
        "40.64.0.0/10 51.4.0.0/15 51.8.0.0/16 51.10.0.0/15 51.12.0.0/15 51.103.0.0/16 "
        "51.104.0.0/15 51.116.0.0/16 51.120.0.0/16 51.124.0.0/16 51.132.0.0/16 51.136.0.0/15 "
        "51.138.0.0/16 51.140.0.0/14 51.144.0.0/15 52.96.0.0/12 52.112.0.0/14 52.132.0.0/14 "
        "52.136.0.0/13 52.145.0.0/16 52.146.0.0/15 52.148.0.0/14 52.152.0.0/13 52.160.0.0/11 "
        "52.224.0.0/11 65.52.0.0/14 70.37.0.0/17 94.245.64.0/18 104.40.0.0/13 104.47.0.0/17 "
        "104.208.0.0/13 131.253.1.0/24 131.253.12.0/22 132.245.0.0/16 134.170.0.0/16 "
        "137.116.0.0/15 137.135.0.0/16 138.91.0.0/16 157.54.0.0/15 157.56.0.0/14 157.60.0.0/16 "
        "168.61.0.0/16 168.62.0.0/15 191.232.0.0/13 199.30.16.0/20 204.79.195.0/24 "
        "207.46.0.0/16 213.199.128.0/18 2603:1000::/24 2620:1ec::/36 2a01:111::/32"
    ),
    "barracuda": "64.235.144.0/20 209.222.80.0/21",
    "cisco": "68.232.128.0/19 139.138.32.0/19 216.71.128.0/19",
    "messagelabs": (
        "46.226.48.0/21 67.219.240.0/20 85.158.136.0/21 103.9.96.0/22 117.120.16.0/21 "
        "193.109.254.0/23 194.106.220.0/23 195.245.230.0/23 216.82.240.0/20"
    ),
    "mimecast": (
        "63.128.21.0/24 91.220.42.0/24 170.10.128.0/22 185.58.84.0/22 195.130.217.0/24 "
        "205.139.110.0/24 207.211.31.0/24 216.205.24.0/24"
    ),
    "proofpoint": (
        "67.231.144.0/20 148.163.128.0/19 185.132.180.0/22 185.183.28.0/22 205.220.160.0/19 "
        "208.84.64.0/22 208.86.200.0/22"
    ),
}


def _by_first_octets() -> dict[tuple[int, int], list[tuple[IPv4Network | IPv6Network, str]]]:
    """Return the networks by version and first octet, so that a look-up compares with few."""
    found: dict[tuple[int, int], list[tuple[IPv4Network | IPv6Network, str]]] = {}
    for owner, text in _NETWORKS.items():
        for word in text.split():
            network = ip_network(word)
            found.setdefault((network.version, network.network_address.packed[0]), []).append(
                (network, owner)
            )
    return found


_networks = _by_first_octets()


@lru_cache(maxsize=4096)
def owner_of(ip: str) -> str:
    """Return whose network an address is in, empty for one that is in none of them."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ""
    for network, owner in _networks.get((address.version, address.packed[0]), ()):
        if address in network:
            return owner
    return ""


def truncated(ip: str) -> str:
    """Return the address of the network that an address is in: /24 for IPv4, /48 for IPv6."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ""
    prefix = 24 if address.version == 4 else 48
    return str(ip_network((address, prefix), strict=False).network_address)
