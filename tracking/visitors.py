"""Tell people from machines: label each hit, with the reasons and the version of the rules.

Nothing here is certain, so nothing is thrown away: a hit keeps what it came with, the label can be
made again with better rules, and both numbers are shown. Only what looks like a browser or a mail
program that people use, at a time and from a place where people are, counts as human.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from tracking.agents import APPLE_PRIVACY, BROWSERS, Agent, read_agent
from tracking.hits import CLICKED, OPENED
from tracking.networks import APPLE, MICROSOFT, owner_of

# To be raised with every change that can give a hit another label.
RULESET = 1

# A machine is faster than a person; what is fetched for people by a proxy needs longer.
OPEN_SECONDS = 2
CLICK_SECONDS = 5
RELAY_SECONDS = 10
# Two clocks of ours never differ by more; a hit long before the hand-off is of a former copy.
SKEW_SECONDS = 5
# So many distinct links of a message within so short a time are no person's clicks.
BURST = "burst"
BURST_LINKS, BURST_SPAN = 3, timedelta(seconds=2)
SWEEP_LINKS, SWEEP_SPAN = 4, timedelta(seconds=10)


class Label(StrEnum):
    """Who it was. A proxy fetches for a person, perhaps long before that person looks."""

    HUMAN = "human"
    PROXY = "proxy"
    SCANNER = "scanner"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A label and why; `is_human`: a person opened or clicked, as far as can be told.

    A proxy that fetches at the moment of opening (Gmail) is one and yet shows that a person is
    there; one that fetches everything ahead (Apple) is not.
    """

    label: Label
    reasons: tuple[str, ...]
    is_human: bool


class Click(NamedTuple):
    """What is compared between the clicks on one message."""

    at: datetime
    link_id: int | None


def classify(
    *,
    kind: str,
    user_agent: str,
    ip: str = "",
    method: str = "GET",
    has_accept: bool = True,
    purpose: str = "",
    seconds_after_handoff: float | None = None,
) -> Verdict:
    """Label one hit by what it says itself.

    `seconds_after_handoff`: since the next hop took the message or reported its delivery,
    whichever is nearer; None when that is not known.
    """
    agent = read_agent(user_agent)
    owner = owner_of(ip)
    machine = _machine_reasons(
        agent, kind=kind, method=method, has_accept=has_accept, user_agent=user_agent
    )
    too_soon = _too_soon(OPEN_SECONDS if kind == OPENED else CLICK_SECONDS, seconds_after_handoff)
    relay = _relay_reason(agent, kind=kind, user_agent=user_agent, owner=owner)
    if "prefetch" in purpose.lower() or "preview" in purpose.lower():
        return Verdict(Label.PROXY, ("prefetch", *machine), is_human=False)
    if relay and not machine:
        return _relayed(relay, kind=kind, seconds=seconds_after_handoff)
    reasons = [*machine, *_network_reasons(owner, kind=kind), *(["instant"] if too_soon else [])]
    if reasons:
        return Verdict(Label.SCANNER, tuple(reasons), is_human=False)
    if agent.is_known:
        return Verdict(Label.HUMAN, (f"program:{agent.client}",), is_human=True)
    return Verdict(Label.UNKNOWN, ("unrecognised",), is_human=False)


def _machine_reasons(
    agent: Agent, *, kind: str, method: str, has_accept: bool, user_agent: str
) -> list[str]:
    """Return what only a machine does or says."""
    reasons = [] if method.upper() == "GET" else [f"method:{method.upper()[:10]}"]
    if agent.machine:
        reasons.append(agent.machine)
    elif kind == CLICKED and user_agent and not (agent.client or BROWSERS.match(user_agent)):
        # A click opens a browser.
        reasons.append("no_browser")
    is_bare = not user_agent.strip() or (kind == CLICKED and user_agent.strip() == "Mozilla/5.0")
    if is_bare or not has_accept:
        reasons.append("bare")
    return reasons


def _relay_reason(agent: Agent, *, kind: str, user_agent: str, owner: str) -> str:
    """Return which service fetched this for a person, empty if none did."""
    if agent.relay:
        return agent.relay
    if kind != OPENED:
        return ""
    if APPLE_PRIVACY.fullmatch(user_agent.strip()):
        return "apple_privacy"
    if owner == APPLE:
        return "apple_network"
    return "outlook_proxy" if owner == MICROSOFT else ""


def _relayed(relay: str, *, kind: str, seconds: float | None) -> Verdict:
    """Count what a proxy fetches as human where it does so when a person looks."""
    if kind != OPENED or relay.startswith("apple"):
        return Verdict(Label.PROXY, (relay,), is_human=False)
    if _too_soon(RELAY_SECONDS, seconds):
        return Verdict(Label.PROXY, (relay, "instant"), is_human=False)
    return Verdict(Label.PROXY, (relay,), is_human=True)


def _network_reasons(owner: str, *, kind: str) -> list[str]:
    if not owner or owner == APPLE:
        return []
    # Safe Links looks at a link first and then sends the person's own browser to it.
    return ["safe_links" if owner == MICROSOFT else f"network:{owner}"]


def _too_soon(limit: float, seconds: float | None) -> bool:
    return seconds is not None and -SKEW_SECONDS <= seconds < limit


def seconds_after(
    at: datetime,
    *,
    handed_off_at: datetime | None,
    accepted: Iterable[datetime],
    delivered: Iterable[datetime],
) -> float | None:
    """Return how long after the hand-off or the delivery, whichever is nearer, a hit came.

    0 for what came before the next hop had even answered; None when nothing is known. The time of
    a delivery is told by others and may be late: a hit before it says nothing.
    """
    ours = [*accepted, *([handed_off_at] if handed_off_at else [])]
    if handed_off_at and any(handed_off_at <= at < one for one in accepted):
        return 0.0
    since = [(at - one).total_seconds() for one in ours]
    near = [one for one in since if one >= -SKEW_SECONDS]
    near += [(at - one).total_seconds() for one in delivered if one <= at]
    return min(near, key=abs, default=None)


def in_bursts(clicks: Sequence[Click], *, link_count: int | None) -> set[int]:
    """Return the places of those clicks on one message, in order of time, that are a burst.

    That is `BURST_LINKS` distinct links within `BURST_SPAN`, or within `SWEEP_SPAN` all links of
    the message, of which it has `link_count` and at least `SWEEP_LINKS`.
    """
    found = _windows(clicks, span=BURST_SPAN, links=BURST_LINKS)
    if link_count is not None and link_count >= SWEEP_LINKS:
        found |= _windows(clicks, span=SWEEP_SPAN, links=link_count)
    return found


def _windows(clicks: Sequence[Click], *, span: timedelta, links: int) -> set[int]:
    found: set[int] = set()
    within: Counter[int | None] = Counter()
    first = marked = 0
    for last, click in enumerate(clicks):
        within[click.link_id] += 1
        while click.at - clicks[first].at > span:
            within[clicks[first].link_id] -= 1
            if not within[clicks[first].link_id]:
                del within[clicks[first].link_id]
            first += 1
        if len(within.keys() - {None}) >= links:
            found.update(range(max(first, marked), last + 1))
            marked = last + 1
    return found


def burst(verdict: Verdict) -> Verdict:
    """Return the verdict on a hit that is one of a burst."""
    if verdict.label == Label.SCANNER:
        return verdict
    return Verdict(Label.SCANNER, (*verdict.reasons, BURST), is_human=False)
