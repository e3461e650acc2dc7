"""Say what a report means for the address, with the table that SMTP replies are judged by.

What differs: a report of failure is final, even where its status is 4.x.x (the server gave up),
and servers have words for giving up that no reply has.
"""

from __future__ import annotations

import re
from dataclasses import replace

from sending.errors import Phase, Reply
from sending.replies import REJECTED, Kind, Verdict, classify
from tracking.dsn import Delivery

_GAVE_UP = re.compile(
    r"(message|delivery|queue|time).{0,40}expired|expired.{0,40}(message|queue)|queue too long"
    r"|retry (time|timeout)|unable to deliver (this )?message (in|within|for)"
    r"|(could not|cannot|unable to) (connect|establish|reach)|connection (timed out|refused)"
    r"|no route to host|network is unreachable|delivery time.{0,10}out|lost connection|try again",
    re.IGNORECASE,
)
_NO_DOMAIN = re.compile(
    r"domain.{0,30}(not exist|not found)|host or domain name not found.{0,60}not found"
    r"|nxdomain|unrouteable domain|host not found(?!, try again)|couldn\W?t find any host",
    re.IGNORECASE,
)


def verdict_of(delivery: Delivery) -> Verdict:
    """Return the verdict on a failed or delayed delivery: bounced, rejected or deferred."""
    is_failed = delivery.action == "failed"
    reply = _completed(delivery.reply, is_failed=is_failed)
    verdict = _of_reports(reply) or classify(reply, phase=Phase.RCPT)
    if not is_failed:
        return replace(verdict, outcome="deferred", suppress="")
    return replace(verdict, outcome="rejected" if verdict.kind in REJECTED else "bounced")


def _completed(reply: Reply, *, is_failed: bool) -> Reply:
    """Give a report without any code the most general one, so that its words are looked at."""
    if reply.code or reply.enhanced:
        return reply
    return replace(reply, enhanced="5.0.0" if is_failed else "4.0.0")


def _of_reports(reply: Reply) -> Verdict | None:
    is_network = not reply.enhanced or re.fullmatch(r"[45]\.([04])\.\d+", reply.enhanced)
    if not is_network or reply.enhanced == "5.4.1":
        return None
    if _NO_DOMAIN.search(reply.text) and not reply.enhanced.startswith("4"):
        return Verdict(Kind.DOMAIN, "bounced", "after_2", "no such domain, reported")
    if _GAVE_UP.search(reply.text):
        return Verdict(Kind.TRANSIENT, "bounced", "", "the server gave up")
    return None
