"""Ask the DNS who receives the mail of domains, beside delivery, which never waits for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

import dns.exception
import dns.resolver
from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone
from dns.rdtypes.ANY.MX import MX

from sending.dns_records import system_resolver
from sending.pacing import providers

log = logging.getLogger(__name__)

_running = threading.Lock()


def look_up_soon() -> threading.Thread | None:
    """Begin to look up what was asked for lately; None when nothing was, or it is going on."""
    if not settings.MX_LOOKUPS or not _running.acquire(blocking=False):
        return None
    wanted = providers.known.take_wanted()
    if not wanted:
        _running.release()
        return None
    thread = threading.Thread(target=_work, args=(wanted,), name="exchanges", daemon=True)
    thread.start()
    return thread


def _work(domains: set[str]) -> None:
    try:
        look_up(domains, resolver=system_resolver())
    except (dns.exception.DNSException, DatabaseError) as error:
        log.warning("The providers of %s domains were not looked up: %s", len(domains), error)
    finally:
        connection.close()
        _running.release()


def look_up(domains: Iterable[str], *, resolver: dns.resolver.Resolver) -> None:
    """Store the provider of each domain that the DNS knows something of, or knows not to exist."""
    found = {}
    for domain in sorted(domains):
        try:
            found[domain] = providers.provider_of_exchangers(_exchangers(domain, resolver))
        except dns.exception.DNSException as error:
            # Not an answer: it is asked for again with the next message that goes there.
            log.info("The MX records of %s could not be read: %s", domain, error)
    providers.store(found, now=timezone.now())
    providers.known.learn(found)


def _exchangers(domain: str, resolver: dns.resolver.Resolver) -> list[str]:
    """Return the names of the domain's mail exchangers, the preferred first."""
    try:
        answer = resolver.resolve(domain, "MX", search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    records = [record for record in answer if isinstance(record, MX)]
    return [one.exchange.to_text() for one in sorted(records, key=lambda one: one.preference)]
