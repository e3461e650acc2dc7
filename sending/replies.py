"""Say what a refusal means: for this message, for the address, and for the next try.

The table is read from the top and the first rule that fits decides. It is ordered by how much a
source can be trusted: the enhanced status first (RFC 3463), then the words, then the basic code
(RFC 5321 section 4.2). Two principles stand above it. A reply that is not certainly about the
recipient's address never suppresses it: blocks, rate limits and our own mistakes are about us. And
a failure before the envelope was offered is about the connection, so it is only ever deferred.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from sending.errors import Phase, Reply


class Kind(StrEnum):
    """What a refusal is about."""

    HARD = "hard"
    DISABLED = "disabled"
    SOFT = "soft"
    TRANSIENT = "transient"
    GREYLIST = "greylist"
    THROTTLE = "throttle"
    POLICY = "policy"
    CONTENT = "content"
    CONFIGURATION = "configuration"
    DOMAIN = "domain"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Hold the judgement of one reply.

    ``outcome`` is ``deferred``, ``bounced`` or ``rejected``. ``suppress`` is empty, ``now``,
    ``after_2``, ``after_3`` or ``after_5``; ``after_n`` counts verdicts of the same kind without a
    delivery in between (disabled: 2 over 7 days or more; undetermined: 3; soft: 5 over 14 days;
    domain: 2 over an hour). ``sending.bounces`` counts.
    ``rule`` names the row that decided, for the operator who wonders why.
    """

    kind: Kind
    outcome: str
    suppress: str
    rule: str


class Rule:
    """One row of the table: every pattern that is given has to fit.

    ``code`` and ``enhanced`` have to match whole, ``text`` anywhere and in any case.
    """

    def __init__(
        self,
        name: str,
        kind: Kind,
        *,
        code: str = "",
        enhanced: str = "",
        text: str = "",
        outcome: str = "",
    ) -> None:
        self.name = name
        self.kind = kind
        self.outcome = outcome
        self._code = re.compile(code)
        self._enhanced = re.compile(enhanced)
        self._text = re.compile(text, re.IGNORECASE)

    def fits(self, *, code: str, enhanced: str, text: str) -> bool:
        """Answer whether the rule speaks about such a reply."""
        return bool(
            (not self._code.pattern or self._code.fullmatch(code))
            and (not self._enhanced.pattern or self._enhanced.fullmatch(enhanced))
            and self._text.search(text)
        )


_BLOCKED = (
    r"spam|black.?list|block.?list|blocked (using|by|for|due)|dnsbl|\brbl\b|reputation|unsolicited"
    r"|\bbulk\b|dmarc|\bspf\b|\bdkim\b|polic(y|ies)|virus|malware|phish|banned|junk|suspicious"
    r"|\bip\b.*(block|reject|listed|denied)|content (reject|filter|restrict)|reverse dns|\bptr\b"
    r"|frequency limited|too many (messages|connections|mails)|rate.?limit"
)
_SUBJECT = r"(user|account|mail ?box|recipient|address|customer)"
_UNKNOWN_USER = (
    rf"{_SUBJECT}( \S+)?( address)?( is| was| has been)? "
    r"(unknown|not found|not exist|does(n\W?t| not) exist|not (a )?(valid|known)|invalid)"
    r"|unknown (user|recipient|mailbox|account|address|or illegal alias|local)"
    rf"|no such ({_SUBJECT}|person|local user|email)|no (mailbox|user|account)( here)? by that name"
    r"|no mailbox here|invalid (recipient|mailbox|user|address)|not our customer"
    r"|(does not|doesn\W?t) have an? (\S+ )?account|not a valid (user|mailbox|recipient|address)"
    r"|does not exist|unrouteable address|recipient not found|mailbox not found"
)
_DISABLED = (
    rf"{_SUBJECT}( \S+)?( account)?( is| was| has been)?( currently| temporarily)? "
    r"(disabled|inactive|suspended|deactivated|locked|frozen|closed|not active|expired|blocked)"
    r"|(inactive|disabled|suspended|deactivated) (user|mailbox|account|recipient)"
    r"|account that you tried to reach is (disabled|inactive)"
)
_FULL = (
    r"(mail ?box|inbox|account|storage)( \S+)?( is)? (full|over ?(its )?(quota|limit))|over ?quota"
    r"|quota (is )?(exceeded|full)|exceed\w* (the |its |his )?(\S+ )?(quota|storage)"
    r"|insufficient (mailbox |disk )?(storage|space)|out of storage|not enough (storage|space)"
    r"|mailbox size limit"
)
_TOO_LARGE = r"(message|mail|content|size)\b.*(too (large|big|long)|exceed\w*).*|too large"
_THROTTLED = (
    r"rate.?limit|throttl|too many (messages|connections|e?mails|concurrent|sessions)|unusual rate"
    r"|frequency|(sending|connection|message) rate|complaints|reputation|temporarily deferred"
    r"|limit exceeded|quota exceeded for (sender|your)"
)
_RELAY = r"relay(ing)?( access)?( \S+)?( is| was)?( not)? (denied|prohibited|permitted|allowed)"
_RELAYING = rf"{_RELAY}|(unable|not allowed|not permitted|cannot) to relay|relayaccessdenied"
# Our own address or name: any mention of it makes sure that the recipient's does not pay.
_SENDER = (
    r"\b(sender|from address|mail ?from|return.?path|helo|ehlo)\b|send ?as ?denied"
    r"|not (allowed|authori[sz]ed) to send"
)
_SENDER_REFUSED = r"\bsender( address)? (rejected|refused|denied|unknown|verif)"
_NO_DOMAIN = (
    r"nxdomain|(host|domain)( or domain)?( name)?( \S+)? (not found|unknown|does not exist)"
    r"|no (such|mx) (domain|host|record)|name or service not known|domain lookup failed"
)

_HARD, _POLICY, _CONTENT, _CONFIGURATION = (
    Kind.HARD,
    Kind.POLICY,
    Kind.CONTENT,
    Kind.CONFIGURATION,
)

RULES: tuple[Rule, ...] = (
    # The enhanced status, narrowed by words where providers use one status for two things.
    Rule("greylisted", Kind.GREYLIST, code="4..", text=r"gr[ea]y.?list"),
    Rule("sender address", _CONFIGURATION, enhanced=r"[45]\.1\.[78]"),
    Rule("blocked, as bad address", _POLICY, enhanced=r"5\.[12]\.\d+", text=_BLOCKED),
    Rule("sender, as bad address", _CONFIGURATION, enhanced=r"5\.1\.\d+", text=_SENDER_REFUSED),
    Rule("no such address", _HARD, enhanced=r"5\.1\.(1|3|6|10)"),
    Rule("no such domain", Kind.DOMAIN, enhanced=r"[45]\.(1\.2|4\.4)"),
    Rule("recipient's own rate", Kind.THROTTLE, enhanced=r"5\.2\.1", text=r"\brate\b|too quickly"),
    Rule("mailbox disabled", Kind.DISABLED, enhanced=r"5\.2\.1"),
    Rule("mailbox full", Kind.SOFT, enhanced=r"[45]\.2\.2"),
    Rule("message too large", _CONTENT, enhanced=r"5\.(3\.4|2\.3)"),
    Rule("unacceptable content", _CONTENT, enhanced=r"5\.6\.\d+"),
    Rule("no such address", _HARD, enhanced=r"5\.4\.1", text=r"recipient address rejected"),
    Rule(
        "no such address",
        _HARD,
        enhanced=r"5\.5\.[01]",
        text=rf"mailbox unavailable|{_UNKNOWN_USER}",
    ),
    Rule("credentials", _CONFIGURATION, enhanced=r"5\.7\.(8|57)", outcome="deferred"),
    Rule("credentials", _CONFIGURATION, code=r"53[0458]", outcome="deferred"),
    Rule("relaying denied", _CONFIGURATION, code="5..", text=_RELAYING),
    Rule("may not send as", _CONFIGURATION, enhanced=r"5\.7\.60"),
    Rule("policy", _POLICY, enhanced=r"5\.7\.\d+"),
    Rule("protocol", _CONFIGURATION, enhanced=r"5\.5\.\d+"),
    Rule("rate or reputation", Kind.THROTTLE, enhanced=r"4\.7\.\d+"),
    # The words. Blocks come first: an address must not pay for the sender's bad name.
    Rule("mailbox full, in words", Kind.SOFT, code="[45]..", text=_FULL),
    Rule("rate, in words", Kind.THROTTLE, code="4..", text=_THROTTLED),
    Rule("blocked, in words", _POLICY, code="5..", text=_BLOCKED),
    Rule("sender, in words", _CONFIGURATION, code="[45]..", text=_SENDER),
    Rule("no such domain, in words", Kind.DOMAIN, code="5..", text=_NO_DOMAIN),
    Rule("disabled, in words", Kind.DISABLED, code="5..", text=_DISABLED),
    Rule("no such address, in words", _HARD, code="5..", text=_UNKNOWN_USER),
    Rule("no such address, in words", _HARD, code="550", text=r"not taken: mailbox unavailable"),
    Rule("too large, in words", _CONTENT, code="5..", text=_TOO_LARGE),
    # The basic code.
    Rule("domain takes no mail", Kind.DOMAIN, code="521|556"),  # RFC 7504
    Rule("storage exceeded", Kind.SOFT, code="552"),
    Rule("protocol", _CONFIGURATION, code="50[0-4]|555"),
    Rule("refused without a reason", Kind.UNDETERMINED, code="5.."),
    Rule("try later", Kind.TRANSIENT),
)

_CONNECTION = frozenset({Phase.CONNECT, Phase.GREETING, Phase.TLS, Phase.AUTH})
_ABOUT_US = frozenset({Kind.POLICY, Kind.CONFIGURATION, Kind.THROTTLE, Kind.GREYLIST})
# About the message or its sender: the address is not to blame.
REJECTED = frozenset({Kind.POLICY, Kind.CONTENT, Kind.CONFIGURATION, Kind.THROTTLE})
_SUPPRESS = {
    Kind.HARD: "now",
    Kind.DOMAIN: "after_2",
    Kind.DISABLED: "after_2",
    Kind.UNDETERMINED: "after_3",
    Kind.SOFT: "after_5",
}
_SCHEDULE_MINUTES = (1, 5, 15, 30, 60, 120, 240)
_GREYLIST_MINUTES = 5


def classify(reply: Reply, *, phase: Phase) -> Verdict:
    """Judge a refusal, or the silence of a next hop (code 0), at the phase where it came."""
    # Where the two codes disagree, the basic one says whether a retry makes sense.
    first = str(reply.code)[0] if reply.code else reply.enhanced[:1]
    code = str(reply.code or f"{first or 0}..")
    enhanced = first + reply.enhanced[1:] if reply.enhanced else ""
    rule = next(r for r in RULES if r.fits(code=code, enhanced=enhanced, text=reply.text))
    if phase in _CONNECTION:
        return _at_connection(rule, phase=phase)
    if first != "5":
        counts = rule.kind is Kind.SOFT and phase is not Phase.MAIL
        return Verdict(rule.kind, "deferred", _SUPPRESS[rule.kind] if counts else "", rule.name)
    if phase is Phase.MAIL:
        return _at_sender(rule, code=code)
    outcome = rule.outcome or ("rejected" if rule.kind in REJECTED else "bounced")
    return Verdict(rule.kind, outcome, _SUPPRESS.get(rule.kind, ""), rule.name)


def _at_connection(rule: Rule, *, phase: Phase) -> Verdict:
    """Judge what was said before any address was named: never hard, always deferred."""
    if phase is Phase.AUTH:
        return Verdict(Kind.CONFIGURATION, "deferred", "", "credentials")
    kind = rule.kind if rule.kind in _ABOUT_US else Kind.TRANSIENT
    return Verdict(kind, "deferred", "", rule.name)


def _at_sender(rule: Rule, *, code: str) -> Verdict:
    """Judge a refused MAIL: the recipient was not named yet, so it is about us."""
    if code == "552":
        return Verdict(Kind.CONTENT, "rejected", "", "message too large")
    if rule.kind in REJECTED:
        return Verdict(rule.kind, rule.outcome or "rejected", "", rule.name)
    return Verdict(Kind.CONFIGURATION, "rejected", "", "sender refused")


def retry_delay_seconds(attempt: int, *, kind: Kind, jitter: float) -> int:
    """Answer how long to wait after the ``attempt``-th try (from 1).

    ``jitter`` (0 to 1) lengthens the wait by up to a quarter, so that messages which failed
    together do not come back together. It never shortens it: a greylist counts the minutes.
    """
    minutes = _SCHEDULE_MINUTES[min(max(attempt, 1), len(_SCHEDULE_MINUTES)) - 1]
    if kind is Kind.GREYLIST:
        minutes = max(minutes, _GREYLIST_MINUTES)
    return round(minutes * 60 * (1 + jitter / 4))
