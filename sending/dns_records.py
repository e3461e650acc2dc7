"""Say which DNS records a sender domain needs, and compare them with what is published."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import dns.exception
import dns.resolver
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.TXT import TXT

from sending.models import SenderDomain

TIMEOUT_SECONDS = 3
# What nobody outside can reach. Python's `is_private` would take more, such as 203.0.113.0/24.
INNER_NETWORKS = [
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.168.0.0/16", "::/127", "fc00::/7", "fe80::/10"),
    )
]
INNER_DOMAINS = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
# Kept for examples and tests (RFC 2606 section 2): nothing of theirs is ever in the DNS.
RESERVED_DOMAINS = (".example", ".invalid", ".test", ".localhost")
PLACEHOLDER = "the public name or address of this server"
PLACEHOLDER_NAME = "the public name of this server"
NOT_WHOLE = (
    "It cannot be written out here, because neither EHLO_NAME nor PUBLIC_URL holds {}. Set "
    "EHLO_NAME and restart, or put it in yourself."
)


class State(StrEnum):
    """How a published record compares with the one that is needed."""

    FOUND = "found"
    MISSING = "missing"
    DIFFERENT = "different"
    SEVERAL = "several"
    FAILED = "lookup failed"
    UNKNOWN = "not compared"


@dataclass(frozen=True, slots=True)
class DnsRecord:
    """One record to be published; `purpose` says in a word what for.

    The value of one that is not `is_whole` has a placeholder in angle brackets.
    """

    purpose: str
    name: str
    type: str
    value: str
    note: str = ""
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class RecordFinding:
    """What a look at the DNS found for one record; `seen` is what is published."""

    purpose: str
    name: str
    state: State
    text: str
    seen: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it as it is stored."""
        return asdict(self) | {"state": str(self.state), "seen": list(self.seen)}


def is_public(host: str) -> bool:
    """Tell whether a host name or address can mean this server to the rest of the world."""
    address = _address(host)
    if address is not None:
        return not any(address in network for network in INNER_NETWORKS)
    name = host.lower().rstrip(".")
    return "." in name and not name.endswith(INNER_DOMAINS)


def is_reserved(domain: str) -> bool:
    """Tell whether the DNS can never hold a record of the domain."""
    return domain.endswith(RESERVED_DOMAINS)


def records_of(domain: SenderDomain, *, host: str, web_host: str = "") -> list[DnsRecord]:
    """Return the records for a domain whose mail leaves through `host`; empty: not known.

    `web_host`: the name in PUBLIC_URL, if the world can know it.
    """
    records = [
        _spf(
            "SPF",
            domain.domain,
            host,
            "Allows this server to send. Mail that leaves through a relay or provider needs the "
            "include: that it names instead. There can be one SPF record only.",
        ),
        DnsRecord(
            "DKIM",
            f"{domain.dkim_selector}._domainkey.{domain.domain}",
            "TXT",
            domain.dkim_dns_value,
            "Lets receivers verify the signature.",
        ),
        DnsRecord(
            "DMARC",
            f"_dmarc.{domain.domain}",
            "TXT",
            "v=DMARC1; p=none",
            "Says what becomes of mail that is not yours. Tighten p to quarantine or reject "
            "when all your mail passes.",
        ),
    ]
    if domain.return_path_domain:
        records += [
            _mx(domain.return_path_domain, host),
            _spf(
                "Return-path SPF",
                domain.return_path_domain,
                host,
                "Receivers look for SPF at the domain that bounces go to.",
            ),
        ]
    if domain.tracking_domain:
        records.append(_cname(domain.tracking_domain, web_host))
    return records


def _cname(name: str, web_host: str) -> DnsRecord:
    note = (
        "Brings those who open a mail or follow its links here. The TLS front needs a certificate "
        "for the name, too: see TRACKING_DOMAINS in docker/README.md."
    )
    if web_host and _address(web_host) is None:
        return DnsRecord("Tracking domain", name, "CNAME", f"{web_host}.", note)
    note = f"{note} It cannot be written out here, because PUBLIC_URL holds no public name."
    return DnsRecord(
        "Tracking domain", name, "CNAME", f"<{PLACEHOLDER_NAME}>", note, is_whole=False
    )


def _spf(purpose: str, name: str, host: str, note: str) -> DnsRecord:
    if host:
        return DnsRecord(purpose, name, "TXT", f"v=spf1 {_mechanism(host)} ~all", note)
    note = f"{note} {NOT_WHOLE.format(PLACEHOLDER)} A name stands after a:, an address after ip4:."
    return DnsRecord(purpose, name, "TXT", f"v=spf1 <{PLACEHOLDER}> ~all", note, is_whole=False)


def _mx(name: str, host: str) -> DnsRecord:
    note = "Brings bounces back here."
    # The exchange is a name, never an address (RFC 1035 section 3.3.9).
    if host and _address(host) is None:
        return DnsRecord("Return-path MX", name, "MX", f"10 {host}.", note)
    note = f"{note} {NOT_WHOLE.format(PLACEHOLDER_NAME)}"
    return DnsRecord("Return-path MX", name, "MX", f"10 <{PLACEHOLDER_NAME}>", note, is_whole=False)


def _mechanism(host: str) -> str:
    """Return the SPF mechanism that names a host (RFC 7208 sections 5.3 and 5.6)."""
    address = _address(host)
    return f"a:{host}" if address is None else f"ip{address.version}:{address}"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def check(
    records: Sequence[DnsRecord], *, resolver: dns.resolver.Resolver | None = None
) -> list[RecordFinding]:
    """Look every record up and return one finding each; raises nothing that the DNS can cause."""
    return [_finding(record, resolver) for record in records]


def system_resolver() -> dns.resolver.Resolver:
    """Return a resolver that asks this machine's name servers, `TIMEOUT_SECONDS` at most.

    Raises NoResolverConfiguration when the machine has none.
    """
    resolver = dns.resolver.Resolver()
    resolver.lifetime = resolver.timeout = TIMEOUT_SECONDS
    return resolver


def _finding(record: DnsRecord, resolver: dns.resolver.Resolver | None) -> RecordFinding:
    try:
        published = _look_up(record, resolver or system_resolver())
    except dns.exception.DNSException as error:
        text = f"The look-up failed, which says nothing about the record: {error}"
        return RecordFinding(record.purpose, record.name, State.FAILED, text)
    seen = [text for text in published if _JUDGES[record.purpose].is_of_kind(text)]
    state, text = _judge(record, seen)
    return RecordFinding(record.purpose, record.name, state, text, tuple(seen))


def _look_up(record: DnsRecord, resolver: dns.resolver.Resolver) -> list[str]:
    """Return the values of a name and type; empty when there are none."""
    try:
        answer = resolver.resolve(record.name, record.type, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    values = []
    for item in answer:
        if isinstance(item, TXT):
            # One value is split over strings of 255 octets; they belong together as they are.
            values.append(b"".join(item.strings).decode("utf-8", "replace"))
        elif isinstance(item, MX):
            values.append(f"{item.preference} {item.exchange.to_text().lower()}")
        elif isinstance(item, CNAME):
            values.append(item.target.to_text().lower())
    return values


def _judge(record: DnsRecord, seen: Sequence[str]) -> tuple[State, str]:
    judge = _JUDGES[record.purpose]
    if not seen:
        return State.MISSING, f"No such record is published at {record.name}."
    if len(seen) > 1 and judge.is_single:
        return (
            State.SEVERAL,
            f"{len(seen)} records are published where there may be one only; receivers ignore "
            "them all. Join them into one.",
        )
    if not record.is_whole:
        return (
            State.UNKNOWN,
            "A record is published. Whether it names this server cannot be told before "
            "EHLO_NAME holds its public name.",
        )
    if any(judge.fits(text, record.value) for text in seen):
        return State.FOUND, "Published."
    return State.DIFFERENT, judge.advice


@dataclass(frozen=True, slots=True)
class _Judge:
    """How to recognise the published record of one purpose, and whether it will do."""

    is_of_kind: Callable[[str], bool]
    fits: Callable[[str, str], bool]
    advice: str
    is_single: bool = True


def _tag(text: str, name: str) -> str:
    found = re.search(rf"(?:^|;)\s*{name}\s*=([^;]*)", text)
    return re.sub(r"\s+", "", found[1]) if found else ""


def _has_version(version: str) -> Callable[[str], bool]:
    """Recognise a record by its first tag, as RFC 7208 section 4.5 and RFC 7489 6.6.3 do."""
    return re.compile(rf"{version}(?=[\s;]|$)", re.IGNORECASE).match  # type: ignore[return-value]


def _names_the_host(published: str, needed: str) -> bool:
    mechanism = needed.split()[1]
    return mechanism in (term.lstrip("+").lower() for term in published.split())


def _has_the_key(published: str, needed: str) -> bool:
    return bool(_tag(published, "p")) and _tag(published, "p") == _tag(needed, "p")


_SPF = _Judge(
    _has_version("v=spf1"),
    _names_the_host,
    "A record is published, but it does not name this server. That is right only if all mail "
    "leaves through the relay or provider that it names.",
)
_JUDGES = {
    "SPF": _SPF,
    "Return-path SPF": _SPF,
    "DKIM": _Judge(
        lambda text: "p=" in text,
        _has_the_key,
        "Another key is published, so that receivers would refuse our signatures. Replace it.",
    ),
    "DMARC": _Judge(
        _has_version("v=DMARC1"),
        lambda published, _: _tag(published, "p") in ("none", "quarantine", "reject"),
        "The record says no valid policy: p must be none, quarantine or reject.",
    ),
    "Return-path MX": _Judge(
        lambda _: True,
        lambda published, needed: published.split()[-1] == needed.split()[-1].lower(),
        "Bounces go to another server. That is right only if it passes them on to this one.",
        is_single=False,
    ),
    "Tracking domain": _Judge(
        lambda _: True,
        lambda published, needed: published == needed.lower(),
        "The name leads to another server. That is right only if it passes requests on to this "
        "one under the same name.",
    ),
}
