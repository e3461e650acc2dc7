"""Make printed values harmless where they stand.

HTML text, comments and quoted attributes
    ``& < > " '`` become character references.
Unquoted attributes
    Blanks, ``=`` and backquotes become references too; an empty value becomes a blank, since
    nothing at all would make the next attribute the value.
The start of a URL attribute
    A value with a scheme other than http, https, mailto or tel becomes ``#``.
Scripts and event attributes
    All but letters, digits and a few marks become ``\\uXXXX``: right inside a quoted string of
    JavaScript or JSON-LD, not code outside of one.
Style sheets and style attributes
    All but letters, digits and the marks of URLs, sizes and colours become CSS escapes.
Elsewhere inside a tag, and where branches leave the place unclear
    Only letters, digits, hyphens, points and underscores remain.

C0 control characters other than tab and line end are dropped everywhere, CR LF and CR become a
line end, and lone surrogates, which no encoding can carry, become U+FFFD.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Set
from functools import cache

from sending.rendering.contexts import DYNAMIC, VALUES, Context, Place, UrlPart

Escape = Callable[[str], str]

UNSAFE_URL = "#"
NEL = "\x85"

_ALLOWED_SCHEMES = frozenset({"http", "https", "mailto", "tel"})
_SCRIPT_SCHEMES = frozenset({"javascript", "vbscript", "livescript", "data"})
_PLAIN_URL = re.compile(r"(?:https?:|mailto:|tel:|[/?#])", re.IGNORECASE)
_URL_IGNORED = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")
_SCHEME_END = re.compile(r"[:/?#]")

_UNCLEAN = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff]")
_DROPPED = re.compile("[\x00-\x08\x0b-\x1f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNQUOTED_SPECIAL = re.compile(r"[\s=`]")
_HEADER_UNSAFE = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_SCRIPT_SPECIAL = re.compile(r"[^\w ,.\-:]|[\u2028\u2029]")
_STYLE_SPECIAL = re.compile(r"[^\w ,.\-:/?&=#%+~!]")
_NOT_A_NAME = re.compile(r"[^\w.\-]")


def clean(value: str) -> str:
    """Remove what no mail body may hold; the rest stays as it is."""
    if value.isprintable() or not _UNCLEAN.search(value):
        return value
    value = _DROPPED.sub("", value.replace("\r\n", "\n").replace("\r", "\n"))
    return _SURROGATE.sub("\ufffd", value)


def one_line(value: str) -> str:
    """Put blanks for what could end a header field or cannot be encoded in one."""
    return value if value.isprintable() else _HEADER_UNSAFE.sub(" ", value)


def html(value: str) -> str:
    """Escape for text and quoted attributes."""
    if value.isalnum():
        return value
    # A chain of replacements is faster than str.translate, and than looking first.
    plain = value if value.isprintable() else clean(value)
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return plain.replace('"', "&#34;").replace("'", "&#39;")


def unquoted(value: str) -> str:
    """Escape for an attribute value without quotes."""
    return _UNQUOTED_SPECIAL.sub(_reference, html(value))


def _reference(match: re.Match[str]) -> str:
    # HTML gives the number of NEL another meaning, so that it has no reference of its own.
    return f"&#{ord(match[0].replace(NEL, ' '))};"


def unquoted_start(value: str) -> str:
    """Escape for the start of an attribute value without quotes."""
    return unquoted(value) or "&#32;"


def url_start(value: str) -> str:
    """Refuse a URL that could be more than an address of the web, of mail or of a telephone."""
    if _PLAIN_URL.match(value):
        return value
    plain = _URL_IGNORED.sub("", value)
    end = _SCHEME_END.search(plain)
    word = (plain[: end.start()] if end else plain).lower()
    has_scheme = end is not None and end[0] == ":"
    if word in _SCRIPT_SCHEMES or (has_scheme and word not in _ALLOWED_SCHEMES):
        return UNSAFE_URL
    return value


def url_scheme(value: str) -> str:
    """Keep a value that follows another one in a URL from completing a scheme."""
    end = _SCHEME_END.search(value)
    if end is None or end[0] != ":":
        return value
    head, _, tail = value.partition(":")
    return f"{head}%3A{tail}"


def script(value: str) -> str:
    """Escape for a string of JavaScript or JSON."""
    return _SCRIPT_SPECIAL.sub(_script_escape, clean(value))


def style(value: str) -> str:
    """Escape for CSS."""
    return _STYLE_SPECIAL.sub(lambda match: f"\\{ord(match[0]):x} ", clean(value))


def name(value: str) -> str:
    """Keep only what cannot end a word in any of the languages of a page."""
    return _NOT_A_NAME.sub("", clean(value))


def _script_escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def escape_for(contexts: Set[Context]) -> Escape:
    """Return the escape for a value that may stand in any of these contexts."""
    wanted = {_steps_for(context) for context in contexts}
    if len(wanted) == 1:
        return _chain(wanted.pop())
    guards = {steps[0] for steps in wanted if len(steps) == 2}
    ends = {steps[-1] for steps in wanted}
    if not guards <= _URL_GUARDS or not ends <= set(_BY_STRICTNESS):
        return name
    guard = next((guard for guard in (url_start, url_scheme) if guard in guards), None)
    end = next(end for end in _BY_STRICTNESS if end in ends)
    return _chain((guard, end) if guard else (end,))


_URL_GUARDS: frozenset[Escape] = frozenset({url_start, url_scheme})
_BY_STRICTNESS: tuple[Escape, ...] = (unquoted_start, unquoted, html)


@cache
def _chain(steps: tuple[Escape, ...]) -> Escape:
    if len(steps) == 1:
        return steps[0]
    first, second = steps
    return lambda value: second(first(value))


def _steps_for(context: Context) -> tuple[Escape, ...]:
    place = context.place
    if place is Place.RAW:
        return {"script": (script,), "style": (style,)}.get(context.element, (html,))
    if place is Place.BEFORE_VALUE:
        return (*_guards_for(context), unquoted_start)
    if place in VALUES:
        return (*_guards_for(context), unquoted if place is Place.UNQUOTED else html)
    if place in (Place.TEXT, Place.COMMENT, Place.DECLARATION):
        return (html,)
    return (name,)


def _guards_for(context: Context) -> tuple[Escape, ...]:
    attribute = context.attribute
    if DYNAMIC in attribute:
        return (name,)
    if attribute.startswith("on"):
        return (script,)
    special: dict[str, Escape] = {"style": style, "srcdoc": html}
    if attribute in special:
        return (special[attribute],)
    urls: dict[UrlPart, tuple[Escape, ...]] = {
        UrlPart.START: (url_start,),
        UrlPart.SCHEME: (url_scheme,),
        UrlPart.REST: (),
    }
    return urls[context.url]
