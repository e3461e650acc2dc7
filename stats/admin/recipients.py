"""Lay out everything that ever went to one address."""

from __future__ import annotations

from typing import Any

from sending.addresses import InvalidAddress, parse_address
from sending.admin.timeline import color_of, notes_on
from sending.pseudonyms import is_pseudonym
from stats import queries


def recipient_context(text: str) -> dict[str, Any]:
    """Return what is known of an address; of one that was forgotten, and of none, nothing."""
    term = text.strip()
    context = {"title": "One recipient", "address": term, "found": None, "fault": ""}
    if not term or is_pseudonym(term):
        return context | {"is_forgotten": bool(term)}
    try:
        address = parse_address(term)
    except InvalidAddress as error:
        return context | {"fault": str(error)}
    found = queries.recipient(
        {term, address.address, address.suppression_key}, rule=address.suppression_key
    )
    notes = notes_on([event.pk for event in found.events]) if found.events else {}
    return context | {
        "title": term,
        "found": found,
        "shown_messages": len(found.messages),
        "shown_events": len(found.events),
        "events": [(one, color_of(one), notes.get(one.pk)) for one in found.events],
    }
