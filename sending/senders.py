"""Decide which sender a request may use, and with which key its mail is signed."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from apikeys.recent import Recent
from sending.addresses import Address, InvalidAddress, parse_address
from sending.dkim import DkimKey, load_private_key
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
    if given != profile.sender_address and not _is_allowed(profile, address):
        raise SenderNotAllowed(
            f"Sending failed: {address.address} is not an allowed sender. Add the domain "
            f"{address.domain} under Sender domains, or the address to this API key."
        )
    return Mailbox(address.address, profile.sender_name)


def dkim_key_of(domain: SenderDomain | None) -> DkimKey | None:
    """Return the key that signs mail from the domain; None when it has none that is active."""
    if domain is None or not domain.is_dkim_active or not domain.dkim_private_key:
        return None
    return _load_key(domain.domain, domain.dkim_selector, domain.dkim_private_key)


@lru_cache(maxsize=256)
def _load_key(domain: str, selector: str, pem: str) -> DkimKey:
    return DkimKey(domain=domain, selector=selector, private_key=load_private_key(pem))


def _is_allowed(profile: SendingProfile, address: Address) -> bool:
    own = [profile.sender_address, *profile.extra_senders]
    if any(_same(one, address) for one in own if one):
        return True
    if _domains.get(address.domain) is None:
        return False
    limited_to = {one.domain for one in profile.sender_domains.all()}
    return not limited_to or address.domain in limited_to


def _load_domain(domain: str) -> SenderDomain | None:
    return SenderDomain.objects.filter(domain=domain, is_active=True).first()


_domains: Recent[str, SenderDomain] = Recent(_load_domain)


def _same(text: str, address: Address) -> bool:
    try:
        return parse_address(text).suppression_key == address.suppression_key
    except InvalidAddress:
        return False
