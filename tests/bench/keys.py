"""Name the ways in which BillionMail is asked to send."""

from __future__ import annotations

from dataclasses import dataclass

PLAIN, SIGNED, FAR, CHECKED = "plain", "signed", "far", "checked"

SUPPRESSED = "gone1@recipient.example"


@dataclass(frozen=True)
class Keys:
    """The secret of an API key for each way, and the DNS record that proves signatures."""

    secrets: dict[str, str]
    dkim_dns_value: str
