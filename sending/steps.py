"""Define what a MESSAGE_STEP is: an addition to every mail on its way out.

`settings.MESSAGE_STEPS` lists objects by dotted path, applied in that order. `sending` knows
them by this protocol alone, so that apps further down the data flow can add to a mail.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from sending.models import Message, SenderDomain


@dataclass(frozen=True, slots=True)
class Draft:
    """The two bodies of a template version, in the template language, before compilation.

    `fingerprint` tells this version from others, and is that of each message made from it.
    """

    html: str
    text: str
    has_unsubscribe_link: bool
    places_unsubscribe_url: bool
    track_opens: bool
    track_clicks: bool
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Additions:
    """What one step adds to one message: values for the template, and header fields."""

    values: dict[str, Any]
    headers: tuple[tuple[str, str], ...] = ()


class MessageStep(Protocol):
    """One addition in two halves: one once per template version, one for each message."""

    def prepare(self, draft: Draft) -> Draft:
        """Return the draft with slots for what `fill` gives; called once per version and flags."""

    def fill(self, message: Message, domain: SenderDomain | None) -> Additions:
        """Return what this message gets; called once per message and try.

        `domain`: that of its sender, None when it is none of ours or not active.
        """


def at_end_of_body(html: str, addition: str) -> str:
    """Put it before the last ``</body>``, else before the last ``</html>``, else at the end.

    One within another tag, such as a quoted value, or within an action ends nothing.
    """
    for tag in ("</body", "</html"):
        found = [match.start() for match in re.finditer(tag, html, re.IGNORECASE)]
        ends = [
            at for at in found if not (_is_within("<>", html, at) or _is_within("{}", html, at))
        ]
        if ends:
            return html[: ends[-1]] + addition + html[ends[-1] :]
    return html + addition


def _is_within(ends: str, html: str, at: int) -> bool:
    """Tell whether what one character begins and another ends is open at a place."""
    return html.rfind(ends[0], 0, at) > html.rfind(ends[1], 0, at)


@lru_cache(maxsize=1)
def message_steps() -> tuple[MessageStep, ...]:
    """Return the configured steps; raise ImportError naming the line that cannot be resolved."""
    return tuple(import_string(path) for path in settings.MESSAGE_STEPS)
