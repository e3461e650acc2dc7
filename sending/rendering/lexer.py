"""Cut a template into texts and actions, and an action into tokens, in one pass over the source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from sending.errors import TemplateSyntaxError

MAX_SOURCE_CHARACTERS = 1 << 20
UNSUBSCRIBE_TOKEN = "__UNSUBSCRIBE_URL__"  # noqa: S105 (a word of the template language)

_BLANK = " \t\r\n"
_OPEN = re.compile(r"\{\{(-(?=[ \t\r\n]))?[ \t\r\n]*")
_CLOSE = re.compile(r"[ \t\r\n]*(?:(?<=[ \t\r\n])(-))?\}\}")
_TOKEN = re.compile(
    r"""[ \t\r\n]*(?:
      (?P<field>(?:\.[^\W\d]\w*)+)
    | (?P<number>[+-]?(?:\d|\.\d)(?:[eE][+-]?\d|[\w.])*)
    | (?P<dot>\.)
    | (?P<variable>\$\w*)
    | (?P<name>[^\W\d]\w*)
    | (?P<string>"(?:[^"\\\n]|\\[^\n])*"|`[^`]*`)
    | (?P<declare>:=)
    | (?P<pipe>\|)
    | (?P<comma>,)
    | (?P<open>\()
    | (?P<close>\))
    )""",
    re.VERBOSE,
)
_HINTS = {
    '"': "the string has no end on this line; close it with a double quote",
    "`": "the string has no end; close it with a backquote",
    "'": "single quotes do not make a string; use double quotes",
    "=": 'a value cannot be assigned; compare with eq, as in {{if eq .API.plan "pro"}}',
    "-": 'a name with a hyphen is read with get, as in {{get .API "first-name"}}',
    "&": "write the character itself in an action, not its HTML reference such as &quot;",
    "{": "a brace cannot stand inside an action; close the action with }} first",
    "}": "an action ends with two braces: }}",
}


class Token(NamedTuple):
    """A word of an action: ``kind`` is a group name of the token pattern."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """Return the offset after the token."""
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class Text:
    """Source that stands for itself, already trimmed."""

    text: str


@dataclass(frozen=True, slots=True)
class Action:
    """What stands between ``{{`` and ``}}``; without tokens it is a comment.

    ``start`` and ``end`` delimit the source, braces included. The bare unsubscribe token is
    an action too: the only one whose source does not begin with a brace.
    """

    tokens: tuple[Token, ...]
    start: int
    end: int


class _Read(NamedTuple):
    action: Action
    trims_before: bool
    trims_after: bool


def fail(source: str, offset: int, message: str) -> NoReturn:
    """Raise TemplateSyntaxError for a place in the source."""
    line_start = source.rfind("\n", 0, offset) + 1
    line = source.count("\n", 0, offset) + 1
    raise TemplateSyntaxError(message, line=line, column=offset - line_start + 1)


def split(source: str) -> list[Text | Action]:
    """Return texts and actions in the order of the source.

    Escapes such as a backslash and an ``n`` in a text stay as they are: turning them into
    line ends, as the first implementation of this language did, damages text that means them.
    """
    if len(source) > MAX_SOURCE_CHARACTERS:
        message = f"the template has {len(source)} characters; at most {MAX_SOURCE_CHARACTERS} fit"
        raise TemplateSyntaxError(message, line=1, column=1)
    pieces: list[Text | Action] = []
    position = 0
    trims = False
    while (start := source.find("{{", position)) >= 0:
        read = _read(source, start)
        pieces += _texts(source[position:start], position, left=trims, right=read.trims_before)
        pieces.append(read.action)
        position, trims = read.action.end, read.trims_after
    pieces += _texts(source[position:], position, left=trims, right=False)
    return pieces


def _texts(text: str, offset: int, *, left: bool, right: bool) -> Iterator[Text | Action]:
    """Trim a text as its neighbours ask and cut it at the bare unsubscribe tokens."""
    if left:
        offset += len(text) - len(text.lstrip(_BLANK))
        text = text.lstrip(_BLANK)
    if right:
        text = text.rstrip(_BLANK)
    for index, part in enumerate(text.split(UNSUBSCRIBE_TOKEN)):
        if index:
            end = offset + len(UNSUBSCRIBE_TOKEN)
            yield Action((Token("name", "UnsubscribeURL", offset),), offset, end)
            offset = end
        if part:
            yield Text(part)
            offset += len(part)


def _read(source: str, start: int) -> _Read:
    opening = _OPEN.match(source, start)
    if opening is None:  # the caller found the braces
        raise AssertionError
    tokens: list[Token] = []
    if source.startswith("/*", opening.end()):
        position = _end_of_comment(source, start, opening.end())
    else:
        tokens, position = _tokens(source, start, opening.end())
    closing = _CLOSE.match(source, position)
    if closing is None:
        message = "only one thing fits into a comment action; close it with */}}"
        fail(source, position, message)
    action = Action(tuple(tokens), start, closing.end())
    return _Read(action, bool(opening[1]), bool(closing[1]))


def _end_of_comment(source: str, start: int, position: int) -> int:
    end = source.find("*/", position + 2)
    if end < 0:
        fail(source, start, "the comment has no end; close it with */}}")
    return end + 2


def _tokens(source: str, start: int, position: int) -> tuple[list[Token], int]:
    tokens: list[Token] = []
    while not _CLOSE.match(source, position):
        match = _TOKEN.match(source, position)
        if match is None or match.lastgroup is None:
            _fail_at_character(source, start, position)
        tokens.append(Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        position = match.end()
    if not tokens:
        fail(source, start, "the action is empty; write {{.API.name}} or remove it")
    return tokens, position


def _fail_at_character(source: str, start: int, position: int) -> NoReturn:
    while source[position : position + 1] in (" ", "\t", "\r", "\n"):
        position += 1
    character = source[position : position + 1]
    if not character:
        fail(source, start, "the action has no end; close it with }}")
    message = f"the character {character!r} means nothing here"
    fail(source, position, _HINTS.get(character, message))
