"""Add the way out to every mail whose key asks for it: header fields, and a line at the end."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from django.conf import settings
from django.urls import reverse

from sending.models import Message, SenderDomain
from sending.steps import Additions, Draft, at_end_of_body
from unsubscribe import tokens

FOOTER = (
    '<p style="margin:24px 0 0;font-size:12px;color:#6b7280;text-align:center">'
    '<a href="{{ UnsubscribeURL . }}" style="color:#6b7280">Unsubscribe</a></p>'
)
TEXT_FOOTER = "\n\nUnsubscribe: {{ UnsubscribeURL . }}\n"


class ListUnsubscribe:
    """A MESSAGE_STEP: RFC 2369 and RFC 8058 header fields, the token's value and the footer."""

    def prepare(self, draft: Draft) -> Draft:
        """Put a line at the end of both bodies unless the template places the link itself."""
        if not draft.has_unsubscribe_link or draft.places_unsubscribe_url:
            return draft
        return replace(
            draft,
            html=at_end_of_body(draft.html, FOOTER) if draft.html else "",
            text=draft.text.rstrip() + TEXT_FOOTER,
        )

    def fill(self, message: Message, domain: SenderDomain | None) -> Additions:
        """Return this message's own link; the header fields only where the key asks for them."""
        if not settings.SIGNING_KEYS:
            return Additions({})
        before, after = _around_token(settings.PUBLIC_URL)
        if not message.has_unsubscribe_link:
            return Additions({"UnsubscribeURL": before + tokens.make(message.id) + after})
        token, local_part = tokens.make_both(message.id)
        url = before + token + after
        mailto = settings.UNSUBSCRIBE_MAILTO_DOMAIN
        ways = f"<{url}>, <mailto:{local_part}@{mailto}>" if mailto else f"<{url}>"
        return Additions(
            {"UnsubscribeURL": url},
            headers=(
                ("List-Unsubscribe", ways),
                ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ),
        )


@lru_cache(maxsize=8)
def _around_token(public_url: str) -> tuple[str, str]:
    """Return what stands before and behind the token; finding a URL by its name takes long."""
    placeholder = "0" * tokens.TOKEN_LENGTH
    before, _, after = (public_url + reverse("unsubscribe", args=[placeholder])).rpartition(
        placeholder
    )
    return before, after


add_list_unsubscribe = ListUnsubscribe()
