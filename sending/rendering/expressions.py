"""Read the tokens of an action into an expression, and note what the template uses."""

from __future__ import annotations

import math
import re
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn

from sending.rendering import lexer
from sending.rendering.lexer import Token
from sending.rendering.syntax import DOT, ROOT, Bind, Call, Expression, Literal, Member, Path

UNSUBSCRIBE_URL = "UnsubscribeURL"
MAX_PARENTHESES = 50
MAX_DIGITS = 40

_CONSTANTS = {"true": True, "false": False, "nil": None}
_ARGUMENT_COUNTS: dict[str, tuple[int, float]] = {
    "and": (1, float("inf")),
    "default": (2, 2),
    "eq": (2, float("inf")),
    "get": (2, 2),
    "ne": (2, 2),
    "not": (1, 1),
    "or": (1, float("inf")),
    UNSUBSCRIBE_URL: (0, 1),
}
_VALUE_KINDS = {"field", "dot", "variable", "number", "string", "open", "name"}
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))"
)
_ESCAPED = dict(zip('abfnrtv\\"', '\a\b\f\n\r\t\v\\"', strict=True))


@dataclass(slots=True)
class Names:
    """Follow what names mean while a template is read.

    ``dot`` is the dotted path that dot stands for, empty at the root, None when it depends on
    the values. ``variables`` has one dictionary of slots for each open block.
    """

    dot: str | None = ""
    variables: list[dict[str, int]] = field(default_factory=lambda: [{}])
    slots: int = 0
    used: set[str] = field(default_factory=set)
    uses_unsubscribe_url: bool = False

    def declare(self, name: str) -> int:
        """Give a variable of the innermost block a slot of its own."""
        self.variables[-1][name] = self.slots
        self.slots += 1
        return self.slots - 1

    def slot_of(self, name: str) -> int | None:
        """Return the slot that a variable has here, or None."""
        for block in reversed(self.variables):
            if name in block:
                return block[name]
        return None

    def path(self, base: str | int, keys: tuple[str, ...], written: str) -> Path:
        """Make a path, named from the root when that is known here."""
        known = {ROOT: "", DOT: self.dot}.get(base) if isinstance(base, str) else None
        if known is None:
            return Path(base, keys, written, is_from_root=False)
        if not known:
            base = ROOT
        return Path(base, keys, ".".join((known, *keys)).lstrip("."), is_from_root=True)

    def note(self, expression: Expression) -> None:
        """Remember the variables that an expression uses."""
        match expression:
            case Path(name=name, is_from_root=True) if name == UNSUBSCRIBE_URL:
                self.uses_unsubscribe_url = True
            case Path(name=name, is_from_root=True) if name:
                self.used.add(name)
            case Call(arguments=arguments):
                for argument in arguments:
                    self.note(argument)
            case Member(of=of) | Bind(of=of):
                self.note(of)


class ExpressionParser:
    """Read one expression out of the tokens of an action."""

    def __init__(self, source: str, tokens: tuple[Token, ...], names: Names, *, end: int) -> None:
        self._source = source
        self._tokens = tokens
        self._names = names
        self._end = end
        self._depth = 0
        self.position = 0

    def pipeline(self) -> Expression:
        """Read commands up to the end, a closing parenthesis or a comma."""
        value = self._command(piped=())
        while self._kind() == "pipe":
            self.position += 1
            value = self._command(piped=(value,))
        return value

    def finish(self) -> None:
        """Refuse tokens that are left over."""
        if self._kind():
            self.fail(f"{self._tokens[self.position].text!r} is not expected here")

    def fail(self, message: str, *, at: Token | None = None) -> NoReturn:
        """Raise TemplateSyntaxError at a token, else at the current place."""
        token = at or (self._tokens[self.position] if self._kind() else None)
        lexer.fail(self._source, token.start if token else self._end, message)

    def _kind(self) -> str:
        return self._tokens[self.position].kind if self.position < len(self._tokens) else ""

    def _command(self, *, piped: tuple[Expression, ...]) -> Expression:
        if self._kind() == "name" and self._tokens[self.position].text not in _CONSTANTS:
            return self._call(piped)
        if self._kind() not in _VALUE_KINDS:
            self.fail("a value is missing here, such as .API.name")
        if piped:
            self.fail('only a function can follow a pipe, as in | default "friend"')
        value = self._operand()
        if self._kind() in _VALUE_KINDS:
            self.fail("two values stand side by side; the first one is not a function")
        return value

    def _call(self, piped: tuple[Expression, ...]) -> Expression:
        name = self._function()
        arguments: list[Expression] = []
        while self._kind() in _VALUE_KINDS:
            arguments.append(self._operand())
        return self._checked_call(name, (*arguments, *piped))

    def _function(self) -> Token:
        token = self._tokens[self.position]
        if token.text not in _ARGUMENT_COUNTS:
            known = ", ".join(_ARGUMENT_COUNTS)
            message = f"there is no function {token.text}; the functions are {known}"
            self.fail(f"{message}. A variable begins with a dot: .API.{token.text}", at=token)
        self.position += 1
        self._require_gap(token)
        return token

    def _checked_call(self, name: Token, arguments: tuple[Expression, ...]) -> Expression:
        fewest, most = _ARGUMENT_COUNTS[name.text]
        if not fewest <= len(arguments) <= most:
            wanted = f"{fewest}" if fewest == most else f"{fewest} or more"
            wanted = "at most 1" if name.text == UNSUBSCRIBE_URL else wanted
            self.fail(f"{name.text} takes {wanted} values, not {len(arguments)}", at=name)
        if name.text == UNSUBSCRIBE_URL:
            return self._names.path(ROOT, (UNSUBSCRIBE_URL,), UNSUBSCRIBE_URL)
        if name.text == "get":
            return self._get(*arguments)
        return Call(name.text, arguments)

    def _get(self, of: Expression, key: Expression) -> Expression:
        """Turn a look-up with a written key into a path, so that it is listed as one."""
        if isinstance(of, Path) and isinstance(key, Literal) and isinstance(key.value, str):
            name = f"{of.name}.{key.value}".lstrip(".")
            return Path(of.base, (*of.keys, key.value), name, of.is_from_root)
        return Call("get", (of, key))

    def _operand(self) -> Expression:
        token = self._tokens[self.position]
        self.position += 1
        value = self._operand_of(token)
        self._require_gap(self._tokens[self.position - 1])
        return value

    def _operand_of(self, token: Token) -> Expression:
        match token.kind:
            case "open":
                return self._parentheses(token)
            case "field":
                return self._names.path(DOT, tuple(token.text[1:].split(".")), token.text)
            case "dot":
                return self._names.path(DOT, (), DOT)
            case "variable":
                return self._variable(token)
            case "string":
                return Literal(self._string(token))
            case "number":
                return Literal(self._number(token))
        if token.text in _CONSTANTS:
            return Literal(_CONSTANTS[token.text])
        self.position -= 1
        return self._checked_call(self._function(), ())

    def _parentheses(self, opening: Token) -> Expression:
        self._depth += 1
        if self._depth > MAX_PARENTHESES:
            self.fail(f"parentheses stand more than {MAX_PARENTHESES} deep", at=opening)
        value = self.pipeline()
        if self._kind() != "close":
            self.fail("this parenthesis is not closed", at=opening)
        self.position += 1
        self._depth -= 1
        keys = self._adjacent_keys()
        return Member(value, keys) if keys else value

    def _variable(self, token: Token) -> Expression:
        keys = self._adjacent_keys()
        written = ".".join((token.text, *keys))
        if token.text == ROOT:
            return self._names.path(ROOT, keys, written)
        slot = self._names.slot_of(token.text)
        if slot is None:
            message = f"{token.text} is not declared here; declare it with {token.text} := value"
            self.fail(message, at=token)
        return self._names.path(slot, keys, written)

    def _adjacent_keys(self) -> tuple[str, ...]:
        previous = self._tokens[self.position - 1]
        if self._kind() != "field" or self._tokens[self.position].start != previous.end:
            return ()
        self.position += 1
        return tuple(self._tokens[self.position - 1].text[1:].split("."))

    def _require_gap(self, previous: Token) -> None:
        if self._kind() in _VALUE_KINDS and self._tokens[self.position].start == previous.end:
            self.fail("a blank is missing here, between two values")

    def _string(self, token: Token) -> str:
        if token.text[0] == "`":
            return token.text[1:-1].replace("\r", "")

        def replace(match: re.Match[str]) -> str:
            plain, byte, short, long, octal, _ = match.groups()
            if plain:
                return _ESCAPED[plain]
            digits = byte or short or long
            code = int(digits, 16) if digits else int(octal or "-1", 8)
            if not 0 <= code <= sys.maxunicode:
                message = (
                    f"the string has an unknown escape, {match[0]}; a backslash is written \\\\"
                )
                self.fail(message, at=token)
            return chr(code)

        return _ESCAPE.sub(replace, token.text[1:-1])

    def _number(self, token: Token) -> int | float:
        value: int | float = math.nan
        if not token.text.isdigit():
            with suppress(ValueError):
                value = float(token.text)
        with suppress(ValueError):
            value = _whole_number(token.text)
        if not math.isfinite(value):
            self.fail(f"{token.text} is not a number", at=token)
        return value


def _whole_number(text: str) -> int:
    """Read an integer as Go does, with underscores and the prefixes 0x, 0o and 0b.

    A zero in front without a letter is refused: Go would read an octal number there.
    """
    if len(text) > MAX_DIGITS:
        raise ValueError(text)
    return int(text, 0)
