"""Decide which sender a request may use."""

from __future__ import annotations

from typing import Any

from sending.addresses import Address, InvalidAddress, parse_address
from sending.errors import SenderNotAllowed
from sending.models import SenderDomain, SendingProfile
from sending.outgoing import Mailbox


def sender_for(profile: SendingProfile, addresser: Any) -> Mailbox:
    """Return the sender of a request: its addresser, else the key's default.

    Raises SenderNotAllowed unless the address is the key's own, one of its extra senders, or
    belongs to an active sender domain that the key may use. Sub-domains are domains of their own.
    """
    if addresser is not None and not isinstance(addresser, str):
        raise SenderNotAllowed("Sending failed: addresser must be one address, given as a string.")
    given = (addresser or "").strip() or profile.sender_address
    if not given:
        raise SenderNotAllowed(
            "Sending failed: the request gives no addresser and this API key has no default "
            "sender. Give one of the two."
        )
    try:
        address = parse_address(given)
    except InvalidAddress as error:
        raise SenderNotAllowed(
            f"Sending failed: the addresser is not an address: {error}"
        ) from None
    if not _is_allowed(profile, address):
        raise SenderNotAllowed(
            f"Sending failed: {address.address} is not an allowed sender. Add the domain "
            f"{address.domain} under Sender domains, or the address to this API key."
        )
    return Mailbox(address.address, profile.sender_name)


def _is_allowed(profile: SendingProfile, address: Address) -> bool:
    own = [profile.sender_address, *profile.extra_senders]
    if any(_same(one, address) for one in own if one):
        return True
    if not SenderDomain.objects.filter(domain=address.domain, is_active=True).exists():
        return False
    limited_to = set(profile.sender_domains.values_list("domain", flat=True))
    return not limited_to or address.domain in limited_to


def _same(text: str, address: Address) -> bool:
    try:
        return parse_address(text).suppression_key == address.suppression_key
    except InvalidAddress:
        return False
