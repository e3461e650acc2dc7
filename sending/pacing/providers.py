"""Know who receives the mail of a domain: many domains, one provider that counts them together.

Delivery never waits for the DNS. A domain is known by itself, or from a look-up that was made
before, or it stands for itself; `unknown_domains` tells what would be worth a look-up.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from sending.models import RecipientDomain

LOOK_UP_EVERY = timedelta(days=7)
MAX_WANTED = 5_000
# The table is read anew after so long: another worker may have looked something up.
READ_SECONDS = 60

DOMAINS = {
    domain: provider
    for provider, domains in {
        "gmail": "gmail.com googlemail.com",
        "microsoft": "outlook.com hotmail.com live.com msn.com outlook.de hotmail.de hotmail.fr "
        "hotmail.co.uk hotmail.it hotmail.es live.de live.fr live.co.uk live.nl outlook.fr "
        "outlook.es outlook.it outlook.com.br",
        "yahoo": "yahoo.com ymail.com rocketmail.com aol.com aim.com verizon.net yahoo.co.uk "
        "yahoo.de yahoo.fr yahoo.it yahoo.es yahoo.ca yahoo.in yahoo.co.in yahoo.com.br "
        "yahoo.com.ar yahoo.com.mx myyahoo.com",
        "icloud": "icloud.com me.com mac.com",
        "gmx": "gmx.de gmx.net gmx.at gmx.ch gmx.com web.de mail.com",
        "proton": "proton.me protonmail.com pm.me",
        "zoho": "zoho.com zohomail.com zoho.eu",
        "fastmail": "fastmail.com fastmail.fm",
        "yandex": "yandex.ru yandex.com ya.ru",
        "mailru": "mail.ru inbox.ru list.ru bk.ru",
        "qq": "qq.com foxmail.com",
        "netease": "163.com 126.com yeah.net",
        "comcast": "comcast.net",
        "orange": "orange.fr wanadoo.fr",
        "telekom": "t-online.de",
    }.items()
    for domain in domains.split()
}
# What the name of a mail exchanger ends with (RFC 5321 section 5.1).
EXCHANGERS = {
    "google.com": "gmail",
    "googlemail.com": "gmail",
    "protection.outlook.com": "microsoft",
    "mx.microsoft": "microsoft",
    "olc.protection.outlook.com": "microsoft",
    "yahoodns.net": "yahoo",
    "mail.icloud.com": "icloud",
    "gmx.net": "gmx",
    "web.de": "gmx",
    "kundenserver.de": "ionos",
    "ionos.com": "ionos",
    "protonmail.ch": "proton",
    "zoho.com": "zoho",
    "zoho.eu": "zoho",
    "messagingengine.com": "fastmail",
    "yandex.net": "yandex",
    "yandex.ru": "yandex",
    "mail.ru": "mailru",
    "qq.com": "qq",
    "netease.com": "netease",
    "pphosted.com": "proofpoint",
    "mimecast.com": "mimecast",
    "barracudanetworks.com": "barracuda",
    "ppe-hosted.com": "proofpoint",
    "secureserver.net": "godaddy",
    "ovh.net": "ovh",
    "comcast.net": "comcast",
    "amazonaws.com": "amazon",
}
PROVIDERS = frozenset(DOMAINS.values()) | frozenset(EXCHANGERS.values())


class Providers:
    """What this process knows of the providers of domains."""

    def __init__(self) -> None:
        self._read_at = float("-inf")
        self._known: dict[str, str] = {}
        self._wanted: set[str] = set()

    def of(self, domain: str) -> str:
        """Return the provider of a recipient's domain; the domain itself when none is known."""
        return DOMAINS.get(domain) or self._known.get(domain) or domain

    def prepare(self, domains: Collection[str], *, now: datetime) -> None:
        """Read what the table knows of these domains, and remember what it does not know."""
        if time.monotonic() - self._read_at > READ_SECONDS:
            self._read_at = time.monotonic()
            self._known.clear()
        missing = [one for one in domains if one not in DOMAINS and one not in self._known]
        if not missing:
            return
        rows = RecipientDomain.objects.in_bulk(missing)
        for domain in missing:
            row = rows.get(domain)
            self._known[domain] = row.provider if row is not None else ""
            is_due = row is None or now - row.looked_up_at > LOOK_UP_EVERY
            if is_due and len(self._wanted) < MAX_WANTED:
                self._wanted.add(domain)

    def learn(self, found: Mapping[str, str]) -> None:
        """Know at once what was just looked up."""
        self._known.update(found)

    def take_wanted(self) -> set[str]:
        """Return the domains that a look-up would be worth, this one time."""
        wanted, self._wanted = self._wanted, set()
        return wanted


known = Providers()


def provider_of_exchangers(names: Iterable[str]) -> str:
    """Return the provider that the mail exchangers belong to; empty when none is known."""
    for name in names:
        labels = name.lower().rstrip(".").split(".")
        for start in range(len(labels)):
            provider = EXCHANGERS.get(".".join(labels[start:]))
            if provider:
                return provider
    return ""


def store(found: Mapping[str, str], *, now: datetime) -> None:
    """Write down what look-ups found: for each domain its provider, empty if that is none."""
    rows = [
        RecipientDomain(domain=domain, provider=provider, looked_up_at=now)
        for domain, provider in sorted(found.items())
    ]
    RecipientDomain.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["domain"],
        update_fields=["provider", "looked_up_at"],
    )
