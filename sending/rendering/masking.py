"""Put marks in the place of actions while HTML is turned into text, and the actions back.

The marks are characters of the private use area of Unicode that the source does not use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from typing import NamedTuple

from sending.errors import TemplateSyntaxError
from sending.rendering import lexer
from sending.rendering.contexts import VALUES, Context, Place, after_action, after_text
from sending.rendering.lexer import Text
from sending.rendering.parser import TRACKED

_PRIVATE_USE = range(0xE000, 0xF900)
_MARKS_NEEDED = 4
_OPENING = frozenset({"if", "with", "range", TRACKED})
_CONTROL = _OPENING | {"else", "end"}
_KEPT_PLACES = VALUES | {Place.TEXT, Place.BEFORE_VALUE}


class Control(NamedTuple):
    """An action that opens, parts or ends the block which action number ``block`` opened."""

    word: str
    block: int


@dataclass(frozen=True, slots=True)
class Masked:
    """HTML with a mark for each action, numbered in the order of the source.

    ``marks`` are four characters: the first delimits the number of an action, the others are
    free for whoever lays out the text.
    """

    html: str
    actions: tuple[str, ...]
    controls: Mapping[int, Control]
    marks: str

    def restored(self, text: str) -> str | None:
        """Put the actions back, but for blocks that lost a part.

        Return None if the layout tore a block apart, or moved something out of or into one.
        """
        shown = [int(number) for number in self._mark().findall(text)]
        lost = {self.controls[number].block for number in self.controls.keys() - set(shown)}
        parts_of_lost = {number for number, step in self.controls.items() if step.block in lost}
        shown = [number for number in shown if number not in parts_of_lost]
        if self._branches(shown) != self._branches(sorted(set(shown))):
            return None

        def source(match: re.Match[str]) -> str:
            number = int(match[1])
            return "" if number in parts_of_lost else self.actions[number]

        return self._mark().sub(source, self._with_plain_braces(text))

    def compared(self, text: str) -> str:
        """Put the actions back regardless of blocks, so that texts can be compared."""
        return self._mark().sub(lambda match: self.actions[int(match[1])], text)

    def without_actions(self, text: str) -> str:
        """Return the text that is left without any action."""
        return self._with_plain_braces(self._mark().sub("", text))

    def _mark(self) -> re.Pattern[str]:
        return re.compile(f"{self.marks[0]}([0-9]+){self.marks[0]}")

    def _with_plain_braces(self, text: str) -> str:
        """Write braces that come out of character references so that they open no action."""
        return re.sub(rf"\{{(?=\{{|{self.marks[0]})", '{{"{"}}', text)

    def _branches(self, numbers: list[int]) -> list[tuple[int, int]] | None:
        """Say for each action which branch of a block it stands in; None if blocks overlap."""
        branches: list[tuple[int, int]] = []
        stack: list[tuple[int, int]] = [(-1, -1)]
        for number in numbers:
            word, block = self.controls.get(number, Control("", -1))
            if word in _OPENING:
                stack.append((number, number))
            elif word and stack[-1][0] != block:
                return None
            elif word:
                stack[-1] = (block, number)
            branches.append((number, stack[-1][1]))
            if word == "end":
                stack.pop()
        return sorted(branches)


def mask(source: str) -> Masked:
    """Mask the actions in texts and attribute values, and drop those elsewhere in the markup.

    ``source`` has to be a template that parses. Raises TemplateSyntaxError if it uses every
    private character.
    """
    marks = _unused_characters(source)
    parts: list[str] = []
    actions: list[str] = []
    words: list[str] = []
    context = Context()
    for piece in lexer.split(source):
        if isinstance(piece, Text):
            parts.append(piece.text)
            context = after_text(context, piece.text)
        elif piece.tokens:
            if context.place in _KEPT_PLACES:
                parts.append(f"{marks[0]}{len(actions)}{marks[0]}")
            words.append(piece.tokens[0].text)
            actions.append(source[piece.start : piece.end])
            context = context if words[-1] in _CONTROL else after_action(context)
    return Masked("".join(parts), tuple(actions), _controls(words), marks)


def _unused_characters(source: str) -> str:
    used = set(source) | set(unescape(source))
    unused = [chr(code) for code in _PRIVATE_USE if chr(code) not in used]
    if len(unused) < _MARKS_NEEDED:
        message = "the template uses all private characters; deriving its text needs four of them"
        raise TemplateSyntaxError(message, line=1, column=1)
    return "".join(unused[:_MARKS_NEEDED])


def _controls(words: list[str]) -> dict[int, Control]:
    controls: dict[int, Control] = {}
    open_blocks: list[int] = []
    for number, word in enumerate(words):
        if word not in _CONTROL:
            continue
        if word in _OPENING:
            open_blocks.append(number)
        controls[number] = Control(word, open_blocks[-1])
        if word == "end":
            open_blocks.pop()
    return controls
