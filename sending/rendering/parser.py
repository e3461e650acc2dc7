"""Read the texts and actions of a template into a tree, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from sending.rendering import lexer
from sending.rendering.expressions import ExpressionParser, Names
from sending.rendering.lexer import Action, Text, Token
from sending.rendering.syntax import (
    ROOT,
    Bind,
    Body,
    Declare,
    Expression,
    If,
    Node,
    Output,
    Path,
    Range,
    Static,
    Tracked,
    Tree,
    With,
)

MAX_DEPTH = 50
MAX_ACTIONS = 20_000

TRACKED = "tracked"
_FOREIGN = {"assign", "block", "break", "continue", "define", "include", "template"}


def parse(source: str) -> Tree:
    """Return the tree of a template.

    Raises TemplateSyntaxError, also for nesting beyond MAX_DEPTH or more than MAX_ACTIONS.
    """
    return _Parser(source).tree()


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._pieces = lexer.split(source)
        self._position = 0
        self._open: list[Action] = []
        self._names = Names()
        actions = [piece for piece in self._pieces if isinstance(piece, Action)]
        if len(actions) > MAX_ACTIONS:
            message = f"the template has more than {MAX_ACTIONS} actions"
            lexer.fail(source, actions[MAX_ACTIONS].start, message)

    def tree(self) -> Tree:
        body, end = self._body()
        if end is not None:
            word = end.tokens[0].text
            self._fail(end, f"there is no if, with or range for this {word}")
        used = tuple(sorted(self._names.used))
        return Tree(body, self._names.slots, used, self._names.uses_unsubscribe_url)

    def _fail(self, action: Action, message: str) -> NoReturn:
        lexer.fail(self._source, action.start, message)

    def _body(self) -> tuple[Body, Action | None]:
        """Read nodes up to an else or end, which is returned too, or to the end of the source."""
        nodes: list[Node] = []
        while self._position < len(self._pieces):
            piece = self._pieces[self._position]
            self._position += 1
            if isinstance(piece, Text):
                nodes.append(Static(piece.text))
            elif piece.tokens:
                if piece.tokens[0].text in ("else", "end"):
                    return tuple(nodes), piece
                nodes.append(self._node(piece))
        if self._open:
            unclosed = self._open[-1]
            self._fail(unclosed, f"this {unclosed.tokens[0].text} has no {{{{end}}}}")
        return tuple(nodes), None

    def _node(self, action: Action) -> Node:
        blocks: dict[str, Callable[[Action], Node]] = {
            "if": self._if,
            "with": self._with,
            "range": self._range,
            TRACKED: self._tracked,
        }
        word = action.tokens[0].text
        if word in _FOREIGN:
            self._fail(action, f"{word} is not part of this language")
        if word not in blocks:
            return self._output(action)
        if len(self._open) >= MAX_DEPTH and word != TRACKED:  # put there by a step, not by people
            self._fail(action, f"blocks stand more than {MAX_DEPTH} deep")
        self._open.append(action)
        with self._scope(dot=self._names.dot):
            node = blocks[word](action)
        self._open.pop()
        return node

    @contextmanager
    def _scope(self, *, dot: str | None) -> Iterator[None]:
        """Let the names declared inside end here, and give dot a meaning until then."""
        before = self._names.dot
        self._names.variables.append({})
        self._names.dot = dot
        yield
        self._names.dot = before
        self._names.variables.pop()

    def _output(self, action: Action) -> Node:
        expression = self._expression(action, action.tokens)
        if isinstance(expression, Bind):
            return Declare(expression)
        return Output(expression, action.start)

    def _expression(self, action: Action, tokens: tuple[Token, ...]) -> Expression:
        """Read ``pipeline`` or ``$variable := pipeline``."""
        is_declared = len(tokens) > 1 and tokens[1].kind == "declare"
        rest = tokens[2:] if is_declared else tokens
        parser = ExpressionParser(self._source, rest, self._names, end=action.end - 2)
        expression = parser.pipeline()
        parser.finish()
        self._names.note(expression)
        if not is_declared:
            return expression
        return Bind(self._declare(tokens[0]), expression)

    def _declare(self, name: Token) -> int:
        if name.kind != "variable" or name.text == ROOT:
            lexer.fail(self._source, name.start, "only a variable such as $x can be declared")
        return self._names.declare(name.text)

    def _if(self, action: Action) -> Node:
        branches: list[tuple[Expression, Body]] = []
        end = action
        tokens = action.tokens[1:]
        while True:
            condition = self._expression(end, tokens)
            body, end = self._branch()
            branches.append((condition, body))
            if [token.text for token in end.tokens[:2]] != ["else", "if"]:
                return If(tuple(branches), self._otherwise(end))
            tokens = end.tokens[2:]

    def _with(self, action: Action) -> Node:
        value = self._expression(action, action.tokens[1:])
        source = value.of if isinstance(value, Bind) else value
        dot = source.name if isinstance(source, Path) and source.is_from_root else None
        with self._scope(dot=dot):
            body, end = self._branch()
        return With(value, body, self._otherwise(end))

    def _tracked(self, action: Action) -> Node:
        number = action.tokens[1].text if len(action.tokens) == 2 else ""
        if not (number.isascii() and number.isdigit() and len(number) < 6):
            self._fail(action, f"{TRACKED} stands before the number of a link and nothing else")
        body, end = self._branch()
        if end.tokens[0].text == "else":
            self._fail(end, f"{TRACKED} has no else")
        self._refuse_rest(end)
        return Tracked(int(number), body)

    def _range(self, action: Action) -> Node:
        declared, tokens = self._range_variables(action)
        items = self._expression(action, tokens)
        slots = [self._declare(name) for name in declared]
        value_slot = slots[-1] if slots else None
        key_slot = slots[0] if len(slots) > 1 else None
        with self._scope(dot=None):
            body, end = self._branch()
        return Range(items, key_slot, value_slot, body, self._otherwise(end))

    def _range_variables(self, action: Action) -> tuple[list[Token], tuple[Token, ...]]:
        tokens = action.tokens[1:]
        kinds = [token.kind for token in tokens[:4]]
        if kinds[1:2] == ["declare"]:
            return [tokens[0]], tokens[2:]
        if kinds[1:4] == ["comma", "variable", "declare"]:
            return [tokens[0], tokens[2]], tokens[4:]
        return [], tokens

    def _branch(self) -> tuple[Body, Action]:
        body, end = self._body()
        if end is None:  # a body that ends with the source has failed already while a block is open
            raise AssertionError
        return body, end

    def _otherwise(self, end: Action) -> Body:
        """Read what follows an else, up to its end."""
        self._refuse_rest(end)
        if end.tokens[0].text == "end":
            return ()
        body, last = self._branch()
        if last.tokens[0].text == "else":
            self._fail(last, "a second else cannot follow; close the block with {{end}}")
        self._refuse_rest(last)
        return body

    def _refuse_rest(self, action: Action) -> None:
        if len(action.tokens) > 1:
            word, rest = action.tokens[:2]
            lexer.fail(self._source, rest.start, f"{rest.text!r} cannot follow {word.text} here")
