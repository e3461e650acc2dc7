"""Keep the domains that mail is sent from, their keys, and what the DNS says about them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import dns.resolver
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from sending import dns_records
from sending.addresses import InvalidAddress, parse_address
from sending.dkim import generate_key
from sending.dns_records import DnsRecord, RecordFinding, State
from sending.models import SenderDomain

CHECKED_FOR = timedelta(days=1)
# A look-up that failed says nothing about the record, so that it is soon tried again.
FAILED_FOR = timedelta(hours=1)
MOST_SECONDS = 60


def create_domain(
    *, domain: str, return_path_domain: str = "", tracking_domain: str = ""
) -> SenderDomain:
    """Store a sender domain with a DKIM key of its own; it does not sign until it is told to.

    Raises ValidationError, by field, with a text for the person who asked.
    """
    row = SenderDomain(
        domain=normal_domain(domain, field="domain"),
        return_path_domain=return_path_domain
        and normal_domain(return_path_domain, field="return_path_domain"),
        tracking_domain=tracking_domain and normal_domain(tracking_domain, field="tracking_domain"),
    )
    row.dkim_private_key, row.dkim_dns_value = generate_key()
    row.full_clean()
    row.save(force_insert=True)
    return row


def normal_domain(text: str, *, field: str) -> str:
    """Return a domain in lower case and A-labels; raise ValidationError for the field."""
    try:
        return parse_address(f"postmaster@{text.strip().rstrip('.')}").domain
    except InvalidAddress as error:
        raise ValidationError({field: str(error).replace("The address", "It")}) from None


def rotate_dkim_key(*, domain: SenderDomain) -> SenderDomain:
    """Give the domain a new DKIM key under a new selector, and stop signing until it is published.

    The old record may stay in the DNS, so that mail under way can still be verified.
    """
    private_key, dns_value = generate_key()
    with transaction.atomic():
        locked = SenderDomain.objects.select_for_update().get(pk=domain.pk)
        locked.dkim_selector = _next_selector(locked.dkim_selector)
        locked.dkim_private_key, locked.dkim_dns_value = private_key, dns_value
        locked.is_dkim_active = False
        locked.checked_at, locked.findings = None, []
        locked.save()
    return locked


def needed_records(domain: SenderDomain) -> list[DnsRecord]:
    """Return the records to publish, for mail that leaves through this server."""
    # An address literal stands in brackets when it greets (RFC 5321 section 4.1.3).
    greeting = settings.EHLO_NAME.strip("[]").removeprefix("IPv6:")
    web_host = urlsplit(settings.PUBLIC_URL).hostname or ""
    public = filter(dns_records.is_public, (greeting, web_host))
    web_host = web_host if dns_records.is_public(web_host) else ""
    return dns_records.records_of(domain, host=next(public, ""), web_host=web_host)


def check_domain(
    *, domain: SenderDomain, now: datetime, resolver: dns.resolver.Resolver | None = None
) -> list[RecordFinding]:
    """Compare the DNS with the records that are needed; store the findings and return them."""
    findings = dns_records.check(needed_records(domain), resolver=resolver)
    domain.checked_at = now
    domain.findings = [finding.as_json() for finding in findings]
    # Only what was found, and of the key that was looked for: the row may have been edited or
    # deleted while the DNS was asked.
    same = SenderDomain.objects.filter(pk=domain.pk, dkim_selector=domain.dkim_selector)
    same.update(checked_at=domain.checked_at, findings=domain.findings)
    return findings


def check_due_domains(*, should_stop: Callable[[], bool] = lambda: False) -> int:
    """Check the active domains that nobody looked at for a day; return how many were checked.

    It ends after `MOST_SECONDS` or so; what is left is due at the next call. Workers that call it
    at the same time share the domains. Where MX_LOOKUPS is off nothing is asked.
    """
    end, number = time.monotonic() + MOST_SECONDS, 0
    for domain in _due_domains() if settings.MX_LOOKUPS else ():
        if should_stop() or time.monotonic() > end:
            break
        if _claim(domain):
            check_domain(domain=domain, now=timezone.now())
            number += 1
    return number


def _due_domains() -> list[SenderDomain]:
    """Return the domains that are due, those that waited longest first."""
    now = timezone.now()
    domains = SenderDomain.objects.filter(is_active=True).defer("dkim_private_key")
    due = [
        domain
        for domain in domains.order_by("pk")
        if _is_due(domain, now=now) and not dns_records.is_reserved(domain.domain)
    ]
    never = datetime.min.replace(tzinfo=UTC)
    return sorted(due, key=lambda domain: domain.checked_at or never)


def _is_due(domain: SenderDomain, *, now: datetime) -> bool:
    if domain.checked_at is None:
        return True
    has_failed = any(finding["state"] == State.FAILED for finding in domain.findings)
    return domain.checked_at <= now - (FAILED_FOR if has_failed else CHECKED_FOR)


def _claim(domain: SenderDomain) -> bool:
    """Tell whether this worker is the one to check a domain: who is first says when it did."""
    same = SenderDomain.objects.filter(pk=domain.pk, checked_at=domain.checked_at, is_active=True)
    return same.update(checked_at=timezone.now()) == 1


def is_dkim_published(domain: SenderDomain) -> bool:
    """Tell whether the last look at the DNS found the key that we sign with."""
    return any(
        finding["purpose"] == "DKIM" and finding["state"] == State.FOUND
        for finding in domain.findings
    )


def _next_selector(selector: str) -> str:
    """Count a selector up: bm1, bm2, ..."""
    stem, number = re.fullmatch(r"(.*?)(\d*)", selector).groups()  # type: ignore[union-attr]
    return f"{stem}{int(number or 1) + 1}"
