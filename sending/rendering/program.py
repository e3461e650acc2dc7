"""Compile a template once, and render it many times.

A program is a list of ready pieces with holes. Rendering copies the list, fills the holes with
what small closures return, and joins it: a template without blocks costs little more than that.
What the same look-up prints in several places is looked up and escaped once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NoReturn

from sending.errors import OutputTooLarge
from sending.outgoing import Form, Woven
from sending.rendering import escaping
from sending.rendering.escaping import Escape
from sending.rendering.evaluation import (
    Evaluate,
    Frame,
    Value,
    Values,
    compile_expression,
    printed,
    sorted_keys,
)
from sending.rendering.parser import parse
from sending.rendering.placement import contexts_of_outputs
from sending.rendering.syntax import (
    ROOT,
    Bind,
    Body,
    Call,
    Declare,
    Expression,
    If,
    Member,
    Node,
    Output,
    Path,
    Range,
    Static,
    Tracked,
    Tree,
    With,
)

MAX_OUTPUT_CHARACTERS = 1 << 20
MAX_STEPS = 500_000

# What MESSAGE_STEPS give for the whole of a URL, or its beginning: the rest of the template's
# world cannot reach these names, and what stands there needs no escape in any place.
TRACKING = "Tracking"
TRACKED = "Tracked"

_Write = Callable[[Frame], str]


class Target(StrEnum):
    """Where the text of a template goes, which decides how values are escaped."""

    HTML = "html"
    TEXT = "text"
    SUBJECT = "subject"


_ESCAPES: dict[Target, Escape] = {
    Target.HTML: escaping.html,
    Target.TEXT: escaping.clean,
    Target.SUBJECT: escaping.one_line,
}


class Program:
    """A compiled template.

    ``variables`` are the dotted paths from the root that it reads, sorted; what is looked up
    in the items of a range is not among them, nor is the unsubscribe URL.
    """

    __slots__ = ("_form", "_own", "_slots", "target", "uses_unsubscribe_url", "variables")

    def __init__(self, tree: Tree, *, target: Target, escapes: Mapping[int, Escape]) -> None:
        self.target = target
        self.variables = tree.variables
        self.uses_unsubscribe_url = tree.uses_unsubscribe_url
        self._slots = tree.slots
        pieces, holes = _Compiler(target, escapes).parts(tree.body)
        self._form = Form(tuple(pieces), tuple(position for position, _ in holes))
        self._own = _own_texts(sum(map(len, pieces)), [write for _, write in holes])

    def render(self, values: Values, *, strict: bool = False) -> str:
        """Return the text that `weave` gives."""
        return str(self.weave(values, strict=strict))

    def weave(self, values: Values, *, strict: bool = False) -> Woven:
        """Fill in these values, which are plain data and are not changed.

        An absent variable prints nothing; with ``strict`` it raises MissingVariable, unless the
        template provides for it with default, if, with, and, or, not. Raises OutputTooLarge
        beyond MAX_OUTPUT_CHARACTERS, or when ranges look up more than MAX_STEPS values.
        """
        frame = Frame(values, slots=self._slots, is_strict=strict)
        return Woven(self._form, self._own(frame))


def compile_source(source: str, *, target: Target) -> Program:
    """Compile a template.

    Raises TemplateSyntaxError with the line and column of the first fault.
    """
    tree = parse(source)
    escapes: dict[int, Escape] = {}
    if target is Target.HTML:
        found = contexts_of_outputs(tree.body)
        escapes = {start: escaping.escape_for(places) for start, places in found.items()}
    return Program(tree, target=target, escapes=escapes)


class _Compiler:
    """Turn nodes into closures that return their text."""

    def __init__(self, target: Target, escapes: Mapping[int, Escape]) -> None:
        self._escapes = escapes
        self._escape = _ESCAPES[target]
        self._outputs: dict[tuple[Path, Escape], _Write] = {}
        # A line end in the template itself would break a header field just as well.
        self._literal: Escape = escaping.one_line if target is Target.SUBJECT else str

    def body(self, body: Body) -> _Write:
        """Make one closure of a body."""
        pieces, holes = self.parts(body)
        if not holes:
            text = "".join(pieces)
            return lambda _: text
        return _filled(pieces, holes)

    def parts(self, body: Body) -> tuple[list[str], list[tuple[int, _Write]]]:
        """Make ready pieces of a body, with holes for what depends on values."""
        pieces: list[str] = []
        holes: list[tuple[int, _Write]] = []
        for node in body:
            if isinstance(node, Static):
                pieces.append(self._literal(node.text))
            else:
                holes.append((len(pieces), self._write(node)))
                pieces.append("")
        return pieces, holes

    def _write(self, node: Node) -> _Write:
        match node:
            case Output(expression=expression, start=start):
                return self._output(expression, self._escapes.get(start, self._escape))
            case Declare(expression=expression):
                return _silent(compile_expression(expression))
            case If(branches=branches, otherwise=otherwise):
                tests = [
                    (compile_expression(condition, is_guarded=True), self.body(body))
                    for condition, body in branches
                ]
                return _if(tests, self.body(otherwise))
            case With(expression=expression, body=body, otherwise=otherwise):
                value = compile_expression(expression, is_guarded=True)
                return _with(value, self.body(body), self.body(otherwise))
            case Range():
                return self._range(node)
            case Tracked(number=number, body=body):
                return _tracked(number, *self.parts(body))
        raise TypeError(node)

    def _output(self, expression: Expression, escape: Escape) -> _Write:
        """Return the same closure for the same look-up from the root, which changes nothing."""
        if not (isinstance(expression, Path) and expression.base == ROOT):
            return _output(compile_expression(expression), escape)
        if expression.keys[:1] == (TRACKING,):
            escape = str
        known = self._outputs.get((expression, escape))
        if known is None:
            known = self._outputs[expression, escape] = _once(
                _output(compile_expression(expression), escape)
            )
        return known

    def _range(self, node: Range) -> _Write:
        items = compile_expression(node.expression, is_guarded=bool(node.otherwise))
        repeated = _repeated(self.body(node.body), node)
        otherwise = self.body(node.otherwise)

        def write(frame: Frame) -> str:
            pairs = _pairs(items(frame))
            return repeated(frame, pairs) if pairs else otherwise(frame)

        return write


def _filled(pieces: list[str], holes: list[tuple[int, _Write]]) -> _Write:
    positions = [position for position, _ in holes]
    own_texts = _own_texts(sum(map(len, pieces)), [write for _, write in holes])

    def write(frame: Frame) -> str:
        filled = pieces.copy()
        for position, text in zip(positions, own_texts(frame), strict=True):
            filled[position] = text
        return "".join(filled)

    return write


def _own_texts(ready: int, writes: list[_Write]) -> Callable[[Frame], tuple[str, ...]]:
    """Return what gives the texts of all holes, beside `ready` characters that stand already.

    A closure that stands in several holes is called once.
    """
    distinct = list(dict.fromkeys(writes))
    order = [distinct.index(write) for write in writes]

    def own_texts(frame: Frame) -> tuple[str, ...]:
        texts = [write(frame) for write in distinct]
        own = tuple([texts[at] for at in order])
        if ready + sum(map(len, own)) > MAX_OUTPUT_CHARACTERS:
            _refuse_size()
        return own

    return own_texts


def _output(evaluate: Evaluate, escape: Escape) -> _Write:
    def write(frame: Frame) -> str:
        value = evaluate(frame)
        return escape(value if type(value) is str else printed(value))

    return write


def _once(print_it: _Write) -> _Write:
    """Have a text made in a rendering when it is first wanted, and only then."""

    def write(frame: Frame) -> str:
        text = frame.printed.get(write)
        if text is None:
            text = frame.printed[write] = print_it(frame)
        return text

    return write


def _silent(evaluate: Evaluate) -> _Write:
    def write(frame: Frame) -> str:
        evaluate(frame)
        return ""

    return write


def _tracked(number: int, pieces: list[str], holes: list[tuple[int, _Write]]) -> _Write:
    def write(frame: Frame) -> str:
        filled = pieces.copy()
        for position, inner in holes:
            filled[position] = inner(frame)
        text = "".join(filled)
        track = frame.root.get(TRACKED)
        return track(number, text) if track else text

    return write


def _if(tests: list[tuple[Evaluate, _Write]], otherwise: _Write) -> _Write:
    def write(frame: Frame) -> str:
        for condition, body in tests:
            if condition(frame):
                return body(frame)
        return otherwise(frame)

    return write


def _with(evaluate: Evaluate, body: _Write, otherwise: _Write) -> _Write:
    def write(frame: Frame) -> str:
        value = evaluate(frame)
        if not value:
            return otherwise(frame)
        before, frame.dot = frame.dot, value
        text = body(frame)
        frame.dot = before
        return text

    return write


def _pairs(value: Value) -> list[tuple[Value, Value]]:
    """Return what a range goes over: keys and values; what is no list or map has none."""
    if isinstance(value, dict):
        return [(key, value[key]) for key in sorted_keys(value)]
    return list(enumerate(value)) if isinstance(value, list | tuple) else []


def _repeated(body: _Write, node: Range) -> Callable[[Frame, list[tuple[Value, Value]]], str]:
    steps = _steps(node.body)
    key_slot, value_slot = node.key_slot, node.value_slot

    def write(frame: Frame, pairs: list[tuple[Value, Value]]) -> str:
        frame.steps += steps * len(pairs)
        if frame.steps > MAX_STEPS:
            message = f"The ranges of the template look up more than {MAX_STEPS} values"
            raise OutputTooLarge(f"{message}; give it shorter lists.")
        parts: list[str] = []
        size = 0
        before = frame.dot
        for key, frame.dot in pairs:
            if key_slot is not None:
                frame.slots[key_slot] = key
            if value_slot is not None:
                frame.slots[value_slot] = frame.dot
            parts.append(body(frame))
            size += len(parts[-1])
            if size > MAX_OUTPUT_CHARACTERS:
                _refuse_size()
        frame.dot = before
        return "".join(parts)

    return write


def _steps(body: Body) -> int:
    """Count the work of one round; that of ranges within is counted when they run."""
    total = 1
    for node in body:
        match node:
            case If(branches=branches, otherwise=otherwise):
                total += sum(_weight(test) + _steps(inner) for test, inner in branches)
                total += _steps(otherwise)
            case With(expression=expression, body=inner, otherwise=otherwise):
                total += _weight(expression) + _steps(inner) + _steps(otherwise)
            case Range(expression=expression, otherwise=otherwise):
                total += _weight(expression) + _steps(otherwise)
            case Tracked(body=inner):
                total += _steps(inner)
            case Output(expression=expression) | Declare(expression=expression):
                total += _weight(expression)
    return total


def _weight(expression: Expression) -> int:
    """Count the values in an expression."""
    match expression:
        case Call(arguments=arguments):
            return 1 + sum(map(_weight, arguments))
        case Member(of=of) | Bind(of=of):
            return 1 + _weight(of)
    return 1


def _refuse_size() -> NoReturn:
    raise OutputTooLarge(
        f"The rendered text has more than {MAX_OUTPUT_CHARACTERS} characters;"
        " shorten the template or its values."
    )
