"""Ask the DNS whether a domain can take mail at all.

Only what a name server says for certain is an answer. A look-up that fails, for whatever reason,
says nothing about the domain.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum

import dns.exception
import dns.name
import dns.resolver
from disposable_email_domains import blocklist
from django.conf import settings
from dns.rdtypes.ANY.MX import MX

from hygiene.errors import CannotClean
from sending.dns_records import TIMEOUT_SECONDS, system_resolver
from sending.pacing.providers import DOMAINS as WELL_KNOWN

AT_ONCE = 16
REMEMBERED = 50_000
# So many look-ups in a row without any answer: the name servers are away, not the domains.
PATIENCE = 200


class Verdict(StrEnum):
    """What is known of a domain."""

    TAKES_MAIL = "takes mail"
    NO_DOMAIN = "no such domain"
    NULL_MX = "null MX"
    NO_HOST = "no mail server"
    UNKNOWN = "no answer"


class Domains:
    """Look up domains, some at once, and remember the newest answers; for one run.

    `unanswered` counts the domains of which nothing was learned.
    """

    def __init__(self, resolver: dns.resolver.Resolver | None = None) -> None:
        self._resolver = resolver or _usual_resolver()
        self._known: OrderedDict[str, Verdict] = OrderedDict()
        self._failures_in_a_row = 0
        self.unanswered = 0

    @property
    def has_given_up(self) -> bool:
        """Whether no name server answers, so that none is asked any more."""
        return self._failures_in_a_row >= PATIENCE

    def verdicts(self, domains: Collection[str]) -> dict[str, Verdict]:
        """Return what is known of each domain (in A-labels)."""
        found = {one: Verdict.TAKES_MAIL for one in domains if _needs_no_look(one)}
        found |= {one: self._known[one] for one in domains if one in self._known}
        new = [one for one in domains if one not in found]
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="dns") as pool:
            for domain, verdict in zip(new, pool.map(self._ask, new), strict=True):
                found[domain] = self._known[domain] = verdict
                self.unanswered += verdict is Verdict.UNKNOWN
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found

    def _ask(self, domain: str) -> Verdict:
        if self.has_given_up:
            return Verdict.UNKNOWN
        verdict = self._look_up(domain)
        if verdict is Verdict.UNKNOWN:
            self._failures_in_a_row += 1
        else:
            self._failures_in_a_row = 0
        return verdict

    def _look_up(self, domain: str) -> Verdict:
        """Look for an MX, then for the address that stands in for it (RFC 5321 section 5.1)."""
        for kind in ("MX", "A", "AAAA"):
            try:
                answer = self._resolver.resolve(f"{domain}.", kind, search=False)
            except dns.resolver.NXDOMAIN:
                return Verdict.NO_DOMAIN
            except dns.resolver.NoAnswer:
                continue
            except dns.exception.DNSException:
                return Verdict.UNKNOWN
            return Verdict.NULL_MX if _is_null_mx(list(answer)) else Verdict.TAKES_MAIL
        return Verdict.NO_HOST


def _needs_no_look(domain: str) -> bool:
    return domain in WELL_KNOWN or domain == settings.SIMULATOR_DOMAIN


def _usual_resolver() -> dns.resolver.Resolver:
    if settings.CLEAN_LIST_DNS_SERVER:
        return resolver_at(settings.CLEAN_LIST_DNS_SERVER)
    try:
        return system_resolver()
    except dns.resolver.NoResolverConfiguration:
        raise CannotClean(
            "This machine names no name server in /etc/resolv.conf. Set CLEAN_LIST_DNS_SERVER, or "
            "check without looking up domains."
        ) from None


def _is_null_mx(records: list[object]) -> bool:
    """Tell whether the only MX is the root (RFC 7505 section 3)."""
    only = records[0] if len(records) == 1 else None
    return isinstance(only, MX) and only.exchange == dns.name.root


def is_disposable(domain: str) -> bool:
    """Tell whether the domain, or one above it, gives addresses to throw away."""
    if domain in WELL_KNOWN:
        return False
    labels = domain.split(".")
    return any(".".join(labels[start:]) in blocklist for start in range(len(labels) - 1))


def resolver_at(place: str) -> dns.resolver.Resolver:
    """Return a resolver that asks one name server, given as ADDRESS or ADDRESS:PORT.

    Raises CannotClean when that is neither.
    """
    host, port = place, "53"
    if place.startswith("["):
        host, _, port = place[1:].partition("]:")
    elif place.count(":") == 1:
        host, _, port = place.partition(":")
    try:
        ipaddress.ip_address(host)
        number = int(port or "53")
    except ValueError:
        raise CannotClean(
            f"{place!r} is no name server: give an address, such as 192.0.2.53 or 127.0.0.1:5353."
        ) from None
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [host]
    resolver.port = number
    resolver.lifetime = resolver.timeout = TIMEOUT_SECONDS
    return resolver
