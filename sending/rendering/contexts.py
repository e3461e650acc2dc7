"""Follow a text of HTML to know where in the markup an action stands.

One pass over each text, no backing up: the state after a text is all that is kept. Conditional
comments for Outlook count as markup, because Outlook reads what is in them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple


class Place(StrEnum):
    """The kinds of place in HTML."""

    TEXT = "text"
    RAW = "raw"
    COMMENT = "comment"
    DECLARATION = "declaration"
    TAG_NAME = "tag name"
    TAG = "tag"
    ATTRIBUTE = "attribute"
    AFTER_ATTRIBUTE = "after attribute"
    BEFORE_VALUE = "before value"
    DOUBLE_QUOTED = "double quoted"
    SINGLE_QUOTED = "single quoted"
    UNQUOTED = "unquoted"
    UNCLEAR = "unclear"  # more possibilities than are worth following


class UrlPart(StrEnum):
    """How much of a URL stands before an action."""

    START = "start"
    SCHEME = "scheme"  # perhaps a scheme, perhaps half of one: no colon, slash, ? or # so far
    REST = "rest"


class Context(NamedTuple):
    """A place, with the element and attribute around it in lower case.

    ``url`` is REST outside URL attributes. An attribute or element whose name is partly an
    action has DYNAMIC in it.
    """

    place: Place = Place.TEXT
    element: str = ""
    attribute: str = ""
    url: UrlPart = UrlPart.REST


DYNAMIC = "\0"
VALUES = frozenset({Place.DOUBLE_QUOTED, Place.SINGLE_QUOTED, Place.UNQUOTED})

# fmt: off
_URL_ATTRIBUTES = frozenset({
    "action", "archive", "background", "cite", "classid", "codebase", "data", "dynsrc",
    "formaction", "href", "icon", "longdesc", "lowsrc", "manifest", "ping", "poster", "profile",
    "src", "srcset", "usemap",
})
_RAW_ELEMENTS = frozenset({
    "iframe", "noembed", "noframes", "script", "style", "textarea", "title", "xmp",
})
# fmt: on
_NAME_LIMIT = 64

_MARKUP = re.compile(r"<(?:!--\[if\b|!---?>|!--|[!?]|/?[a-zA-Z]|/?\Z)", re.IGNORECASE | re.ASCII)
_COMMENT_END = re.compile(r"--!?>")
# The blanks of HTML are fewer than those that \s stands for.
_TAG_NAME = re.compile(r"[^ \t\n\f\r/>]*")
_TAG_GAP = re.compile(r"[ \t\n\f\r/]*")
_ATTRIBUTE = re.compile(r"[^ \t\n\f\r/>=]*")
_GAP = re.compile(r"[ \t\n\f\r]*")
_UNQUOTED = re.compile(r"[^ \t\n\f\r>]*")
_RAW_END = {
    element: re.compile(rf"</{element}(?=[ \t\n\f\r/>]|\Z)", re.IGNORECASE | re.ASCII)
    for element in _RAW_ELEMENTS
}
_URL_BLANKS = "".join(map(chr, range(0x21)))
_URL_REST = re.compile(r"[:/?#]")

_Step = Callable[[Context, str, int], tuple[Context, int]]


def after_text(context: Context, text: str) -> Context:
    """Return the context at the end of a text that begins in ``context``."""
    position = 0
    while position < len(text):
        context, position = _STEPS[context.place](context, text, position)
    return context


def after_action(context: Context) -> Context:
    """Return the context after a printed value that stands in ``context``."""
    place = context.place
    if place is Place.TAG_NAME:
        return context._replace(element=_longer(context.element, DYNAMIC))
    if place in (Place.TAG, Place.AFTER_ATTRIBUTE):
        return context._replace(place=Place.ATTRIBUTE, attribute=DYNAMIC)
    if place is Place.ATTRIBUTE:
        return context._replace(attribute=_longer(context.attribute, DYNAMIC))
    if place is Place.BEFORE_VALUE:
        context = context._replace(place=Place.UNQUOTED)
    if context.url is UrlPart.START:
        context = context._replace(url=UrlPart.SCHEME)
    return context


def _longer(name: str, more: str) -> str:
    """Join pieces of a name; a name too long to matter keeps only what marks it as dynamic."""
    name += more.lower()
    return name if len(name) <= _NAME_LIMIT else DYNAMIC


def _text(context: Context, text: str, position: int) -> tuple[Context, int]:
    match = _MARKUP.search(text, position)
    if match is None:
        return context, len(text)
    opening = match[0].lower()
    if opening in ("<!-->", "<!--->"):
        return context, match.end()
    if opening == "<!--":
        return Context(Place.COMMENT), match.end()
    if opening.startswith(("<!", "<?")):
        return Context(Place.DECLARATION), match.end()
    return Context(Place.TAG_NAME), match.start() + 1


def _raw(context: Context, text: str, position: int) -> tuple[Context, int]:
    match = _RAW_END[context.element].search(text, position)
    if match is None:
        return context, len(text)
    return Context(Place.TAG, element="/"), match.end()


def _comment(context: Context, text: str, position: int) -> tuple[Context, int]:
    match = _COMMENT_END.search(text, position)
    return (Context(), match.end()) if match else (context, len(text))


def _declaration(context: Context, text: str, position: int) -> tuple[Context, int]:
    end = text.find(">", position)
    return (Context(), end + 1) if end >= 0 else (context, len(text))


def _tag_name(context: Context, text: str, position: int) -> tuple[Context, int]:
    if text[position] == "/" and not context.element:
        return context._replace(element="/"), position + 1
    end = _end(_TAG_NAME, text, position)
    context = context._replace(element=_longer(context.element, text[position:end]))
    return (context._replace(place=Place.TAG) if end < len(text) else context), end


def _tag(context: Context, text: str, position: int) -> tuple[Context, int]:
    position = _end(_TAG_GAP, text, position)
    if position == len(text):
        return context, position
    if text[position] == ">":
        return _after_tag(context), position + 1
    # HTML takes an equals sign that comes first for a letter of the name.
    return context._replace(place=Place.ATTRIBUTE, attribute=text[position].lower()), position + 1


def _attribute(context: Context, text: str, position: int) -> tuple[Context, int]:
    end = _end(_ATTRIBUTE, text, position)
    context = context._replace(attribute=_longer(context.attribute, text[position:end]))
    if end < len(text):
        context = context._replace(place=Place.AFTER_ATTRIBUTE)
    return context, end


def _after_attribute(context: Context, text: str, position: int) -> tuple[Context, int]:
    position = _end(_GAP, text, position)
    if position == len(text):
        return context, position
    if text[position] != "=":
        return context._replace(place=Place.TAG), position
    name = context.attribute.rpartition(":")[2]
    url = UrlPart.START if name in _URL_ATTRIBUTES else UrlPart.REST
    return context._replace(place=Place.BEFORE_VALUE, url=url), position + 1


def _before_value(context: Context, text: str, position: int) -> tuple[Context, int]:
    position = _end(_GAP, text, position)
    if position == len(text):
        return context, position
    quoted = {'"': Place.DOUBLE_QUOTED, "'": Place.SINGLE_QUOTED}.get(text[position])
    if quoted:
        return context._replace(place=quoted), position + 1
    if text[position] == ">":
        return _after_tag(context), position + 1
    return context._replace(place=Place.UNQUOTED), position


def _value(context: Context, text: str, position: int) -> tuple[Context, int]:
    if context.place is Place.UNQUOTED:
        end = after = _end(_UNQUOTED, text, position)
    else:
        end = text.find('"' if context.place is Place.DOUBLE_QUOTED else "'", position)
        after = end + 1
    if 0 <= end < len(text):
        return Context(Place.TAG, element=context.element), after
    return context._replace(url=_url_part(context.url, text[position:])), len(text)


def _unclear(context: Context, text: str, position: int) -> tuple[Context, int]:
    return context, len(text)


def _url_part(part: UrlPart, text: str) -> UrlPart:
    if part is UrlPart.REST or _URL_REST.search(text):
        return UrlPart.REST
    return UrlPart.SCHEME if text.strip(_URL_BLANKS) else part


def _after_tag(context: Context) -> Context:
    if context.element in _RAW_ELEMENTS:
        return Context(Place.RAW, element=context.element)
    return Context()


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position


_STEPS: dict[Place, _Step] = {
    Place.TEXT: _text,
    Place.RAW: _raw,
    Place.COMMENT: _comment,
    Place.DECLARATION: _declaration,
    Place.TAG_NAME: _tag_name,
    Place.TAG: _tag,
    Place.ATTRIBUTE: _attribute,
    Place.AFTER_ATTRIBUTE: _after_attribute,
    Place.BEFORE_VALUE: _before_value,
    Place.DOUBLE_QUOTED: _value,
    Place.SINGLE_QUOTED: _value,
    Place.UNQUOTED: _value,
    Place.UNCLEAR: _unclear,
}
