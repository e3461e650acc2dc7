"""Find the links in the HTML of a template, in one pass that never goes back.

The source is followed as a mail program follows it: an unclosed quote or comment swallows what
comes after it. What conditional comments for Outlook hold counts as markup, VML shapes with a link
included. An action is skipped as a whole, whatever is in it. Nothing is changed or normalised.

The numbers of links in mails that were sent come from here: a change that finds more or fewer of
them makes old mails tell of other links.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape

from tracking.tokens import MAX_LINKS, MAX_URL_BYTES

NOT_TRACKED = "data-notrack"

_ELEMENTS = {"a", "area"}
_VML = "v:"
_UNSUBSCRIBE = re.compile(r"UnsubscribeURL|__UNSUBSCRIBE_URL__")

_COMMENT_ACTION = re.compile(r"\{\{(?:-[ \t\r\n])?[ \t\r\n]*/\*")
_ACTION_STOP = re.compile(r'["`]|\}\}')
_STRING = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"')
_MARKUP = re.compile(r"\{\{|<(?:!--\[if\b|!---?>|!--|[!?]|/|[a-zA-Z])", re.IGNORECASE | re.ASCII)
_COMMENT_END = re.compile(r"--!?>")
_BLANK = " \t\n\f\r"
_TAG_NAME = re.compile(rf"[^{_BLANK}/>{{]*")
_GAP = re.compile(rf"[{_BLANK}/]*")
_BLANKS = re.compile(rf"[{_BLANK}]*")
_NAME = re.compile(rf"=?(?:[^{_BLANK}/>={{]|\{{(?!\{{))*")
_VALUE_STOP = {
    '"': re.compile(r'"|\{\{'),
    "'": re.compile(r"'|\{\{"),
    "": re.compile(rf"[{_BLANK}>]|\{{\{{"),
}
_RAW_END = {
    element: re.compile(rf"</{element}(?=[{_BLANK}/>]|\Z)", re.IGNORECASE | re.ASCII)
    for element in (
        "iframe", "noembed", "noframes", "script", "style", "textarea", "title", "xmp",
    )
}  # fmt: skip

_WORD = re.compile(r"\{\{-?[ \t\r\n]*(\w*)")
_OPENING = {"if", "with", "range", "tracked"}
_WEB = re.compile(r"https?://[^\s/?#\\]", re.IGNORECASE)
_PLAIN = re.compile(r"https?://[!-%'-.0->@-\[\]-~][!-%'-~]*").fullmatch
_OTHER_SCHEME = re.compile(r"\s*(?:#|/|(?!https?:)[a-z][a-z0-9+.-]*:)", re.IGNORECASE)
_BROKEN = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_URL_EDGES = "".join(map(chr, range(0x21)))


@dataclass(frozen=True, slots=True)
class Link:
    """A link to be tracked: where its value stands in the source, and what that is.

    `url`: where it leads, or None when that depends on values of the message.
    """

    start: int
    end: int
    source: str
    url: str | None


def find_links(html: str) -> list[Link]:
    """Return the links to be tracked, in the order of the source.

    Left out are those that lead to no page of the web (``mailto:``, ``#...``), the way to
    unsubscribe, and the tags with the attribute ``data-notrack``.
    """
    links: list[Link] = []
    for values in _Scan(html).tags():
        links += [link for start, end in values if (link := _link(html, start, end))]
    return links[:MAX_LINKS]


def destination(text: str) -> str | None:
    """Return the address of the web that a value stands for; None for anything else."""
    if len(text) <= MAX_URL_BYTES and _PLAIN(text):
        return text
    url = unescape(text) if "&" in text else text
    url = url.strip(_URL_EDGES).replace("\n", "").replace("\r", "").replace("\t", "")
    if not _WEB.match(url) or _BROKEN.search(url) or len(url.encode()) > MAX_URL_BYTES:
        return None
    return url


def _link(html: str, start: int, end: int) -> Link | None:
    source = html[start:end]
    if _UNSUBSCRIBE.search(source):
        return None
    if "{{" not in source:
        url = destination(source)
        return Link(start, end, source, url) if url else None
    # A trimming brace at the edge would find something else beside it once the link is marked.
    is_odd = source.startswith("{{-") or source.endswith("-}}") or not _is_balanced(source)
    if is_odd or _OTHER_SCHEME.match(source):
        return None
    return Link(start, end, source, None)


def _is_balanced(source: str) -> bool:
    """Tell whether every block that begins in a value ends in it, and no other does."""
    depth = 0
    for word in _words(source):
        depth += (word in _OPENING) - (word == "end")
        if depth < 0 or (word == "else" and depth == 0):
            return False
    return depth == 0


def _words(source: str) -> Iterator[str]:
    """Yield the first word of each action."""
    at = source.find("{{")
    while at >= 0:
        yield _WORD.match(source, at)[1]  # type: ignore[index]
        at = source.find("{{", _end_of_action(source, at))


def _end_of_action(source: str, at: int) -> int:
    """Return where the action that begins here ends; raise _End for one without an end."""
    comment = _COMMENT_ACTION.match(source, at)
    at = source.find("*/", comment.end()) if comment else at + 2
    while at >= 0 and (stop := _ACTION_STOP.search(source, at)):
        if stop[0] == "}}":
            return stop.end()
        if stop[0] == "`":
            at = source.find("`", stop.end()) + 1 or -1
        else:
            string = _STRING.match(source, stop.start())
            at = string.end() if string else -1
    raise _End


class _End(Exception):
    """The source ends in the middle of something."""


class _Scan:
    def __init__(self, html: str) -> None:
        self._html = html
        self._at = 0

    def tags(self) -> Iterator[list[tuple[int, int]]]:
        """Yield, for each tag that can be a link, where the values of its addresses stand."""
        try:
            while found := _MARKUP.search(self._html, self._at):
                self._at = found.end()
                opening = found[0].lower()
                if opening[1:].isalpha():
                    self._at -= 1
                    yield self._tag()
                else:
                    self._pass_over(opening, found.start())
        except _End:
            return

    def _pass_over(self, opening: str, start: int) -> None:
        if opening == "{{":
            self._at = start
            self._pass_action()
        elif opening == "<!--":
            self._at = self._end_of(_COMMENT_END)
        elif opening not in ("<!-->", "<!--->"):
            self._at = self._find(">") + 1

    def _tag(self) -> list[tuple[int, int]]:
        """Read a start tag; return where its addresses stand, if it is one of a link."""
        element = self._read(_TAG_NAME).lower()
        is_tracked = element in _ELEMENTS or element.startswith(_VML)
        values = []
        while self._next() != ">":
            if self._html.startswith("{{", self._at):
                self._pass_action()
                continue
            name = self._read(_NAME).lower()
            value = self._value()
            if name == "href" and value:
                values.append(value)
            is_tracked = is_tracked and name != NOT_TRACKED
        self._at += 1
        if element in _RAW_END:
            self._at = self._end_of(_RAW_END[element])
        return values if is_tracked else []

    def _next(self) -> str:
        self._read(_GAP)
        if self._at >= len(self._html):
            raise _End
        return self._html[self._at]

    def _value(self) -> tuple[int, int] | None:
        """Read the value of an attribute, if it has one."""
        after = self._at
        self._read(_BLANKS)
        if not self._html.startswith("=", self._at):
            self._at = after
            return None
        self._at += 1
        self._read(_BLANKS)
        quote = self._html[self._at : self._at + 1]
        quote = quote if quote in ('"', "'") else ""
        self._at += len(quote)
        start = self._at
        while not self._at_stop(_VALUE_STOP[quote]):
            self._pass_action()
        end = self._at
        self._at += len(quote)
        return start, end

    def _at_stop(self, stop: re.Pattern[str]) -> bool:
        """Go to the end of a value, or to an action in it; tell whether it is the end."""
        found = stop.search(self._html, self._at)
        if found is None:
            raise _End
        self._at = found.start()
        return found[0] != "{{"

    def _pass_action(self) -> None:
        self._at = _end_of_action(self._html, self._at)

    def _read(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._html, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found[0]

    def _end_of(self, pattern: re.Pattern[str]) -> int:
        found = pattern.search(self._html, self._at)
        if found is None:
            raise _End
        return found.end()

    def _find(self, character: str) -> int:
        found = self._html.find(character, self._at)
        if found < 0:
            raise _End
        return found
