"""Networks as people write them, and the address a request comes from."""

from ipaddress import ip_address

import pytest
from django.test import RequestFactory

from apikeys.addresses import (
    canonical_networks,
    client_address,
    is_in_networks,
    parse_network,
)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("203.0.113.7", "203.0.113.7/32"),
        (" 203.0.113.0/24 ", "203.0.113.0/24"),
        ("203.0.113.0/255.255.255.0", "203.0.113.0/24"),
        ("2001:DB8:0::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
        ("::ffff:203.0.113.7", "203.0.113.7/32"),
        ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
    ],
)
def test_network_is_stored_in_one_form(written: str, stored: str) -> None:
    assert str(parse_network(written)) == stored


@pytest.mark.parametrize(
    "written",
    ["", "shop", "203.0.113", "203.0.113.7/33", "010.0.0.1", "fe80::1%eth0", "10.0.0.0/-1"],
)
def test_what_is_no_network_is_refused_with_an_example(written: str) -> None:
    with pytest.raises(ValueError, match=r"Write it like 203\.0\.113\.7"):
        parse_network(written)


@pytest.mark.parametrize("written", ["0.0.0.0/0", "::/0", "203.0.113.7/0", "::ffff:0:0/96"])
def test_network_of_everybody_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="Leave the list empty to allow everybody"):
        parse_network(written)


def test_host_bits_are_refused_with_both_readings() -> None:
    with pytest.raises(ValueError, match=r"Write 10\.0\.0\.0/8 .* or 10\.0\.0\.5"):
        parse_network("10.0.0.5/8")


def test_same_network_is_stored_once() -> None:
    assert canonical_networks(["10.0.0.1", "10.0.0.1/32"]) == ["10.0.0.1/32"]


@pytest.mark.parametrize(
    ("address", "networks", "is_in"),
    [
        ("203.0.113.7", [], True),
        ("203.0.113.7", ["203.0.113.0/24"], True),
        ("203.0.114.7", ["203.0.113.0/24"], False),
        ("203.0.113.7", ["2001:db8::/32"], False),
        ("2001:db8::5", ["10.0.0.0/8", "2001:db8::/32"], True),
    ],
)
def test_address_is_looked_up_in_the_networks(
    address: str, networks: list[str], is_in: bool
) -> None:
    assert is_in_networks(ip_address(address), networks=networks) is is_in


def test_unknown_address_is_in_no_network_but_everybody() -> None:
    assert not is_in_networks(None, networks=["203.0.113.0/24"])
    assert is_in_networks(None, networks=[])


SPOOFED = {
    "HTTP_X_REAL_IP": "198.51.100.66",
    "HTTP_FORWARDED": "for=198.51.100.66",
    "HTTP_CLIENT_IP": "198.51.100.66",
}


@pytest.mark.parametrize(
    ("proxies", "forwarded_for", "expected"),
    [
        (0, None, "192.0.2.1"),
        (0, "198.51.100.66", "192.0.2.1"),
        (1, "203.0.113.7", "203.0.113.7"),
        (1, "198.51.100.66, 203.0.113.7", "203.0.113.7"),
        (1, "198.51.100.66,,203.0.113.7", "203.0.113.7"),
        (2, "203.0.113.7, 10.0.0.2", "203.0.113.7"),
        (2, "198.51.100.66, 203.0.113.7, 10.0.0.2", "203.0.113.7"),
        (1, "::ffff:203.0.113.7", "203.0.113.7"),
        (1, "2001:db8::5", "2001:db8::5"),
        (1, None, None),
        (1, "", None),
        (2, "203.0.113.7", None),
        (1, "203.0.113.7, unknown", None),
        (1, "203.0.113.7:4711", None),
        (1, "203.0.113.7, ", None),
    ],
)
def test_only_entries_of_trusted_proxies_are_believed(
    settings, proxies: int, forwarded_for: str | None, expected: str | None
) -> None:
    settings.TRUSTED_PROXY_COUNT = proxies
    request = RequestFactory().get("/", REMOTE_ADDR="192.0.2.1")
    request.META |= SPOOFED
    if forwarded_for is not None:
        request.META["HTTP_X_FORWARDED_FOR"] = forwarded_for

    assert client_address(request) == (ip_address(expected) if expected else None)


@pytest.mark.parametrize(
    ("remote", "expected"),
    [("", None), ("::ffff:192.0.2.1", "192.0.2.1"), ("fe80::1%eth0", "fe80::1")],
)
def test_address_of_the_socket_is_normalised(settings, remote: str, expected: str | None) -> None:
    settings.TRUSTED_PROXY_COUNT = 0
    request = RequestFactory().get("/", REMOTE_ADDR=remote)

    assert client_address(request) == (ip_address(expected) if expected else None)
