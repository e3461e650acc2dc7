"""Take the mail to the address in List-Unsubscribe: a line of REPORT_HANDLERS names this."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings

from unsubscribe import commands, tokens


class UnsubscribeMail:
    """Unsubscribe whom the token in the address names, whatever the mail says (RFC 2369)."""

    def accepts(self, address: str) -> bool:
        """Tell whether the address is one of ours with a token of ours; asks no database."""
        local_part, _, domain = address.rpartition("@")
        ours: str = settings.UNSUBSCRIBE_MAILTO_DOMAIN
        is_ours = bool(ours) and domain.casefold() == ours.casefold()
        return is_ours and tokens.read_local_part(local_part) is not None

    def take(self, address: str, *, content: bytes, now: datetime) -> str:
        """Do it; return what was done. Idempotent."""
        is_ours = commands.unsubscribe_by_mail(address.rpartition("@")[0], now=now)
        return "unsubscribed" if is_ours else ""


unsubscribe_mail = UnsubscribeMail()
