"""Decide who may get mail: the one place where it is decided, before acceptance and before sending.

A rule is found by the index: the address, its pseudonym, and ``@`` with its domain. Only rules for
sub-domains and patterns have to be compared one by one, and `sending.suppressions` keeps them few.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from uuid import UUID

from django.db import connection
from django.db.models import Q
from django.db.models.functions import Now

from sending.models import Message, SendingProfile, Stream, Suppression
from sending.models.suppression import BROAD, Reason
from sending.pseudonyms import pseudonyms

PATTERN = "pattern:"

TELLS = {
    Reason.UNSUBSCRIBED: "has unsubscribed",
    Reason.HARD_BOUNCE: "has bounced before",
    Reason.COMPLAINT: "has complained about mail from here",
    Reason.BLACKLIST: "is on the blacklist",
    Reason.SOFT_BOUNCES: "has bounced again and again",
    Reason.INVALID: "was found to be no address that takes mail",
    Reason.MANUAL: "was stopped by hand",
    Reason.FREQUENCY_CAP: "has got enough mail for now",
    Reason.FORGOTTEN: "has asked to be forgotten",
}
# Of several orders the first of these is told: what the recipient said comes before what we found.
GRAVITY = (
    Reason.COMPLAINT,
    Reason.UNSUBSCRIBED,
    Reason.FORGOTTEN,
    Reason.BLACKLIST,
    Reason.MANUAL,
    Reason.INVALID,
    Reason.HARD_BOUNCE,
    Reason.SOFT_BOUNCES,
    Reason.FREQUENCY_CAP,
)
RANK = {str(reason): rank for rank, reason in enumerate(GRAVITY)}

# The addresses come as one array: the planner needs far longer for a list of a thousand values.
# Pseudonyms are looked for only where there is one at all, and one by one: an array twice as long
# would make the planner read small tables whole.
STANDING = """
SELECT address, reason FROM sending_suppression
WHERE address = ANY(%s::text[]) AND (expires_at IS NULL OR expires_at > statement_timestamp())
UNION ALL
SELECT found.address, found.reason FROM unnest(%s::text[]) AS hidden (address)
CROSS JOIN LATERAL (
    SELECT address, reason FROM sending_suppression
    WHERE address = hidden.address AND (expires_at IS NULL OR expires_at > statement_timestamp())
    LIMIT {reasons}
) AS found
WHERE EXISTS (SELECT FROM sending_suppression WHERE kind <> 'address' AND kind = 'pseudonym')
UNION ALL
SELECT address, reason FROM sending_suppression
WHERE kind <> 'address' AND kind IN ('subdomains', 'pattern')
    AND (expires_at IS NULL OR expires_at > statement_timestamp())
""".replace("{reasons}", str(len(Reason)))

# What `screen` reads of a message.
SCREENED = ("recipient", "stream", "api_key_id")

Rule = tuple[str, str]  # its text and its reason


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why an address gets no mail: the rule that blocked it."""

    address: str
    reason: Reason
    rule: str

    def __str__(self) -> str:
        by = "" if self.rule == self.address else f" (rule {self.rule})"
        return f"{self.reason.value}: {self.address} {TELLS[self.reason]}{by}"


@dataclass(frozen=True, slots=True)
class Finding:
    """Everything that was decided about one address: what blocks it, and what does not."""

    address: str
    blocked_by: Verdict | None
    passed_over: Sequence[Verdict] = ()

    def __str__(self) -> str:
        if self.blocked_by is not None:
            return str(self.blocked_by)
        if self.passed_over:
            return f"allowed: this class of mail goes out although {self.passed_over[0]}"
        return f"allowed: no standing order is about {self.address}"


def key_of(recipient: str) -> str:
    """Return the key of an address in the form in which messages keep it."""
    return recipient.casefold()


def passed_over(stream: str, *, heeds_unsubscribes: bool) -> frozenset[Reason]:
    """Return the reasons that do not stop this class of mail, by the choice of its key."""
    if stream != Stream.TRANSACTIONAL:
        return frozenset()
    if heeds_unsubscribes:
        return frozenset({Reason.FREQUENCY_CAP})
    return frozenset({Reason.FREQUENCY_CAP, Reason.UNSUBSCRIBED})


def decide(
    addresses: Collection[str], *, despite: Collection[str] = frozenset()
) -> dict[str, Verdict]:
    """Return a verdict for each of the case-folded `addresses` that is blocked, in one query.

    `despite`: the reasons that do not stop this mail (`passed_over`).
    """
    return {
        address: verdict
        for address, verdicts in _about(addresses).items()
        for verdict in _first(verdicts, despite=despite)
    }


def examine(addresses: Collection[str], *, despite: Collection[str] = frozenset()) -> list[Finding]:
    """Return what `decide` decides about each of `addresses`, and what it passes over."""
    about = _about(addresses)
    return [
        Finding(
            address,
            next(iter(_first(about.get(address, ()), despite=despite)), None),
            [one for one in about.get(address, ()) if one.reason in despite],
        )
        for address in addresses
    ]


def screen(messages: Collection[Message]) -> dict[UUID, Verdict]:
    """Return the verdicts on those of `messages` that may not go out, by their ids."""
    keys = {message.id: key_of(message.recipient) for message in messages}
    about = _about(set(keys.values()))
    doubtful = [message for message in messages if keys[message.id] in about] if about else []
    despite = _despite(doubtful)
    return {
        message.id: verdict
        for message in doubtful
        for verdict in _first(about[keys[message.id]], despite=despite[message.id])
    }


def _despite(messages: Iterable[Message]) -> dict[UUID, frozenset[Reason]]:
    """Return what does not stop each message; asks for the keys of transactional ones only."""
    messages = list(messages)
    transactional = {one.api_key_id for one in messages if one.stream == Stream.TRANSACTIONAL}
    heedless: set[UUID] = set()
    if transactional:
        profiles = SendingProfile.objects.filter(pk__in=transactional, heeds_unsubscribes=False)
        heedless = set(profiles.values_list("pk", flat=True))
    return {
        one.id: passed_over(one.stream, heeds_unsubscribes=one.api_key_id not in heedless)
        for one in messages
    }


def _first(verdicts: Iterable[Verdict], *, despite: Collection[str]) -> list[Verdict]:
    """Return the gravest verdict that stops the mail, in a list that is empty without any."""
    return [verdict for verdict in verdicts if verdict.reason not in despite][:1]


def _about(addresses: Collection[str]) -> dict[str, list[Verdict]]:
    """Return all verdicts on those of `addresses` about which something stands, gravest first."""
    hidden = {address: pseudonyms(address) for address in addresses}
    domains = {address: address[address.rfind("@") :] for address in addresses}
    exact: dict[str, list[Rule]] = defaultdict(list)
    broad: list[Rule] = []
    for rule, reason in _standing({*addresses, *domains.values()}, set(chain(*hidden.values()))):
        if is_broad(rule):
            broad.append((rule, reason))
        else:
            exact[rule].append((rule, reason))
    if not exact and not broad:
        return {}
    match = _matcher(tuple(broad))
    found: dict[str, list[Verdict]] = {}
    for address, domain in domains.items():
        keys = (address, *hidden[address], domain)
        rules = [*chain(*(exact.get(key, ()) for key in keys)), *match(address)]
        if rules:
            rules.sort(key=lambda one: RANK[one[1]])
            found[address] = [Verdict(address, Reason(reason), rule) for rule, reason in rules]
    return found


def _standing(keys: set[str], hidden: set[str]) -> list[Rule]:
    """Return the orders under a key or pseudonym, and all broad ones, that have not expired."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(STANDING, [_array(keys), _array(hidden)])
            return cursor.fetchall()
    live = Suppression.objects.filter(Q(expires_at=None) | Q(expires_at__gt=Now()))
    rules = live.filter(address__in=keys | hidden).values_list("address", "reason")
    return list(rules.union(live.filter(kind__in=BROAD).values_list("address", "reason"), all=True))


def _array(texts: Iterable[str]) -> str:
    """Write an array as PostgreSQL reads it; psycopg needs longer."""
    quoted = (text.replace("\\", r"\\").replace('"', r"\"") for text in texts)
    joined = '","'.join(quoted)
    return f'{{"{joined}"}}' if joined else "{}"


Matcher = Callable[[str], list[Rule]]


@lru_cache(maxsize=8)
def _matcher(broad: tuple[Rule, ...]) -> Matcher:
    """Return the function that finds the broad rules which are about an address."""
    tests = [(_test_of(rule), (rule, reason)) for rule, reason in broad]
    is_any = re.compile("|".join(f"(?:{test})" for test, _ in tests)).fullmatch if tests else None
    each = [(re.compile(test).fullmatch, rule) for test, rule in tests]

    def match(address: str) -> list[Rule]:
        if is_any is None or not is_any(address):
            return []
        return [rule for is_about, rule in each if is_about(address)]

    return match


def _test_of(rule: str) -> str:
    """Return a broad rule as a regular expression that an address matches as a whole."""
    if rule.startswith("."):
        return rf".*[@.]{re.escape(rule[1:])}"
    return ".*".join(re.escape(part) for part in rule.removeprefix(PATTERN).split("*"))


def is_about(rule: str, recipient: str) -> bool:
    """Tell whether the rule of an order is about a recipient."""
    address = key_of(recipient)
    if rule.startswith("@"):
        return address.endswith(rule)
    return bool(_matcher(((rule, ""),))(address)) if is_broad(rule) else address == rule


def is_broad(rule: str) -> bool:
    """Tell whether no index finds the rule by an address."""
    return rule.startswith((".", PATTERN))
