"""Name the parts of a parsed template: expressions, and the nodes that hold them."""

from __future__ import annotations

from dataclasses import dataclass

ROOT = "$"
DOT = "."


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, number, boolean or nil written in the template."""

    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Path:
    """Look up ``keys`` one after the other, from the root, from dot, or from a variable's slot.

    ``name`` is the dotted path from the root if ``is_from_root``, else what the template says.
    """

    base: str | int
    keys: tuple[str, ...]
    name: str
    is_from_root: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments; a piped value is the last one."""

    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """Look up keys in the value of an expression in parentheses."""

    of: Expression
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bind:
    """Keep the value of an expression in a slot, and be that value."""

    slot: int
    of: Expression


Expression = Literal | Path | Call | Member | Bind


@dataclass(frozen=True, slots=True)
class Static:
    """Text of the template itself."""

    text: str


@dataclass(frozen=True, slots=True)
class Output:
    """Print a value. ``start`` tells one output of a template from another."""

    expression: Expression
    start: int


@dataclass(frozen=True, slots=True)
class Declare:
    """Declare a variable; nothing is printed."""

    expression: Bind


@dataclass(frozen=True, slots=True)
class If:
    """Write the body of the first condition that holds."""

    branches: tuple[tuple[Expression, Body], ...]
    otherwise: Body


@dataclass(frozen=True, slots=True)
class With:
    """Write the body with dot set to a value that is not empty."""

    expression: Expression
    body: Body
    otherwise: Body


@dataclass(frozen=True, slots=True)
class Range:
    """Write the body once for each item of a list, or value of a map in the order of its keys."""

    expression: Expression
    key_slot: int | None
    value_slot: int | None
    body: Body
    otherwise: Body


@dataclass(frozen=True, slots=True)
class Tracked:
    """Write what the root's ``Tracked`` makes of the rendered body, a URL; without it, the body."""

    number: int
    body: Body


Node = Static | Output | Declare | If | With | Range | Tracked
Body = tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """A whole template. ``slots`` is the number of variables that it declares."""

    body: Body
    slots: int
    variables: tuple[str, ...]
    uses_unsubscribe_url: bool
