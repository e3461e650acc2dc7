"""Read what a caller marks its mail with: tags, and the variant of a test of its own.

The figures are told apart by these, so they are names of kinds of mail, few and short. They are
kept, counted and shown; the address of a person has no place in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sending.errors import InvalidMark
from sending.models.message import MARK_LENGTH

MAX_TAGS = 10


@dataclass(frozen=True, slots=True)
class Marks:
    """The tags of a mail, each once, and its variant; empty for none."""

    tags: tuple[str, ...] = ()
    variant: str = ""


def read_marks(*, tags: Any, variant: Any) -> Marks:
    """Return the fields ``tags`` and ``variant`` of a request, trimmed; raise InvalidMark."""
    if tags is None and variant is None:
        return UNMARKED
    return Marks(
        tags=() if tags is None else _tags(tags),
        variant="" if variant is None else _text("variant", variant),
    )


UNMARKED = Marks()


def _tags(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list):
        raise InvalidMark('tags must be a list of texts, as in ["welcome"], or be left out.')
    tags = tuple(dict.fromkeys(_text(f"tags[{at}]", one) for at, one in enumerate(given)))
    if len(tags) > MAX_TAGS:
        raise InvalidMark(f"there are {len(tags)} tags; {MAX_TAGS} are allowed.")
    if "" in tags:
        raise InvalidMark("one of the tags is empty; leave it out.")
    return tags


def _text(name: str, given: Any) -> str:
    if not isinstance(given, str):
        raise InvalidMark(f"{name} must be a text.")
    text = given.strip()
    if len(text) > MARK_LENGTH:
        raise InvalidMark(f"{name} is longer than {MARK_LENGTH} characters.")
    if not text.isprintable():
        raise InvalidMark(f"{name} has characters that cannot be shown, such as line breaks.")
    if "@" in text:
        raise InvalidMark(
            f"{name} has an @. It is counted and shown; name a kind of mail, not a person."
        )
    return text
