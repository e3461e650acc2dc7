"""Say what a request to send would do, without storing or sending anything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from apikeys.commands import check_quota
from apikeys.models import ApiKey
from sending import caps, ledger, screening
from sending.addresses import Address
from sending.commands.requests import (
    Request,
    check_request,
    check_total,
    despite_of,
    profile_of,
    read_recipients,
    switch,
)
from sending.delivery.assembly import assemble
from sending.errors import SuppressedRecipient
from sending.models import Priority, SenderDomain
from sending.screening import Verdict

WOULD_BE_SENT = "It would be sent."


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What would become of one recipient: `code` 0 if mail would go there, else why not."""

    recipient: str
    would_send: bool
    code: int
    reason: str
    rule: str
    msg: str


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a request would do: for each recipient, and the mail of the first that would get it."""

    verdicts: list[Foreseen]
    sender: str
    subject: str | None


def is_dry_run(given: Any) -> bool:
    """Read the field ``dry_run`` of a request; raise InvalidSwitch."""
    return switch("dry_run", given, otherwise=False)


def foresee(*, key: ApiKey, recipients: Any, **content: Any) -> DryRun:
    """Validate, decide and render as if it were sent.

    `recipients`: a list, or the one that a request for a single mail names; `content` as in
    `accept_one`. Raises what that would raise, but for what is about a recipient alone.
    """
    profile = profile_of(key)
    addresses, rejected = read_recipients(recipients)
    request = check_request(profile, **content)
    check_total(request.attribs, recipients=len(addresses))
    blocked = screening.decide(addresses, despite=despite_of(profile))
    left = [one for one in addresses if one not in blocked]
    check_quota(key=key, count=len(left), now=ledger.database_now())
    blocked |= caps.would_exceed(left, profile)
    verdicts = [_foreseen(address, blocked.get(one)) for one, address in addresses.items()]
    verdicts += [Foreseen(one.recipient, False, one.code, "", "", one.msg) for one in rejected]
    allowed = [address for one, address in addresses.items() if one not in blocked]
    return DryRun(verdicts, request.sender.address, _subject(request, allowed))


def foresee_one(*, key: ApiKey, recipient: Any, **content: Any) -> DryRun:
    """Say of one recipient what `foresee` says of many."""
    if not isinstance(recipient, str):
        recipient = ""
    return foresee(key=key, recipients=[recipient], **content)


def _foreseen(address: Address, verdict: Verdict | None) -> Foreseen:
    if verdict is None:
        return Foreseen(address.address, True, 0, "", "", WOULD_BE_SENT)
    code = SuppressedRecipient.code
    reason, rule = verdict.reason.value, verdict.rule
    return Foreseen(address.address, False, code, reason, rule, f"Invalid recipient: {verdict}")


def _subject(request: Request, recipients: Iterable[Address]) -> str | None:
    """Make the mail to the first of the recipients, and return its subject.

    What is of the recipient in a mail can make no other fail. Raises what a worker would note.
    """
    first = next(iter(recipients), None)
    if first is None:
        return None
    intake = request.intake([first], priority=Priority.SINGLE)
    (message,) = intake.messages(now=ledger.database_now())
    message.template_version = request.version
    domain = SenderDomain.objects.filter(domain=intake.message_id_domain, is_active=True).first()
    return assemble(message, domain=domain).subject
