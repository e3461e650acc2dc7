"""Find out what is wrong with some addresses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from hygiene.domains import Domains, Verdict, is_disposable
from hygiene.engagement import LEAST_SOFT_BOUNCES, NO_SIGNS, Signs, Spans, signs_of
from hygiene.models import MAX_TEXT, Finding, Kind, Run, bits_of
from hygiene.role_accounts import is_role_account
from hygiene.spelling import meant_domain
from sending.addresses import Address, InvalidAddress, parse_address
from sending.screening import decide

DOUBTFUL = {
    Verdict.NO_DOMAIN: Kind.NO_DOMAIN,
    Verdict.NULL_MX: Kind.NULL_MX,
    Verdict.NO_HOST: Kind.NO_HOST,
}


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found, and how many of the addresses get no mail already."""

    findings: list[Finding]
    standing: int


def examine(texts: Iterable[str], *, run: Run, domains: Domains | None, now: datetime) -> Examined:
    """Return the findings about some addresses, unsaved; those that get no mail are left alone.

    `domains` None: nothing is looked up.
    """
    invalid: dict[str, Finding] = {}
    addresses: dict[str, Address] = {}
    written: dict[str, str] = {}
    for text in texts:
        try:
            address = parse_address(text)
        except InvalidAddress as error:
            invalid.setdefault(key_of_text(text), _unreadable(text, str(error), run=run))
            continue
        key = address.suppression_key
        addresses.setdefault(key, address)
        written |= {text: key, address.address: key, key: key}
    standing = set(decide([*addresses, *invalid]))
    asked = {key: address for key, address in addresses.items() if key not in standing}
    spans = Spans(now=now, period_days=run.period_days, never_engaged_days=run.never_engaged_days)
    signs = signs_of({text: key for text, key in written.items() if key in asked}, spans=spans)
    known = domains.verdicts({one.domain for one in asked.values()}) if domains else {}
    findings = [finding for key, finding in invalid.items() if key not in standing]
    for key, address in asked.items():
        verdict = known.get(address.domain, Verdict.UNKNOWN)
        finding = _finding(key, address, verdict, signs.get(key, NO_SIGNS), run=run)
        findings += [finding] if finding else []
    return Examined(findings, len(standing))


def key_of_text(text: str) -> str:
    """Return what cannot be read as it is kept."""
    return text.strip().casefold()[:MAX_TEXT]


def _unreadable(text: str, why: str, *, run: Run) -> Finding:
    return Finding(
        run=run,
        address=key_of_text(text),
        kinds=bits_of([Kind.SYNTAX]),
        detail=why[:MAX_TEXT],
    )


def _finding(
    key: str, address: Address, verdict: Verdict, signs: Signs, *, run: Run
) -> Finding | None:
    meant = meant_domain(address.domain)
    # Whoever owns a mistyped domain may give addresses away; who mistyped it wanted none of those.
    is_thrown_away = not meant and is_disposable(address.domain)
    told = {
        DOUBTFUL.get(verdict): f"{address.domain}: {verdict}",
        Kind.DISPOSABLE if is_thrown_away else None: "",
        Kind.ROLE if is_role_account(address.local) else None: "",
        Kind.TYPO if meant else None: "",
        Kind.NEVER_ENGAGED if signs.never_engaged else None: signs.never_engaged,
        Kind.SOFT_BOUNCES if signs.soft_bounces >= LEAST_SOFT_BOUNCES else None: (
            f"{signs.soft_bounces} messages came back, none went through since"
        ),
    }
    told.pop(None, None)
    kinds = [kind for kind in told if kind]
    if not kinds:
        return None
    return Finding(
        run=run,
        address=key,
        kinds=bits_of(kinds),
        detail="; ".join(filter(None, told.values()))[:MAX_TEXT],
        suggestion=f"{address.local}@{meant}" if meant else "",
        sent=signs.sent,
        delivered=signs.delivered,
        bounced=signs.bounced,
        opened=signs.opened,
    )
