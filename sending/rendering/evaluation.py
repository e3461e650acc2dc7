"""Turn expressions into closures that look up, compare and print plain values.

Values are dict, list, tuple, str, int, float, bool and None. A look-up asks a dict for a key
and nothing else: no attribute is read, nothing is called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from sending.errors import MissingVariable
from sending.rendering.syntax import DOT, ROOT, Bind, Call, Expression, Literal, Member, Path

Value = Any
Values = Mapping[str, Value]

_DEEPEST_PRINTED: Final = 20
_LARGEST_PLAIN: Final = 1e21


class Frame:
    """Hold what changes during one rendering."""

    __slots__ = ("dot", "is_strict", "printed", "root", "slots", "steps")

    def __init__(self, root: Values, *, slots: int, is_strict: bool) -> None:
        self.root = root
        self.dot: Value = root
        self.slots: list[Value] = [None] * slots
        self.is_strict = is_strict
        self.steps = 0
        self.printed: dict[object, str] = {}


Evaluate = Callable[[Frame], Value]


def compile_expression(expression: Expression, *, is_guarded: bool = False) -> Evaluate:
    """Return a closure for the value of an expression.

    ``is_guarded``: the template provides for the absence of the value, so that strict mode
    must not complain.
    """
    match expression:
        case Literal(value=value):
            return lambda _: value
        case Path():
            return _path(expression, is_guarded=is_guarded)
        case Member(of=of, keys=keys):
            return _member(compile_expression(of, is_guarded=is_guarded), keys)
        case Bind(slot=slot, of=of):
            return _bind(slot, compile_expression(of, is_guarded=is_guarded))
    return _call(expression, is_guarded=is_guarded)


def printed(value: Value, *, depth: int = 0) -> str:
    """Return what a template prints for a value.

    Numbers look as in JSON, but whole ones have no fraction. Lists and maps look as in Go, to
    a limited depth. Raises TypeError for what is not plain data.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, float):
        return _printed_float(value)
    return _printed_collection(value, depth)


def _printed_collection(value: Value, depth: int) -> str:
    if depth == _DEEPEST_PRINTED:
        return "..."
    if isinstance(value, list | tuple):
        return f"[{' '.join(printed(item, depth=depth + 1) for item in value)}]"
    if isinstance(value, dict):
        pairs = (f"{key}:{printed(value[key], depth=depth + 1)}" for key in sorted_keys(value))
        return f"map[{' '.join(pairs)}]"
    raise TypeError(f"A template can print plain data only, not {type(value).__name__}.")


def sorted_keys(value: dict[str, Value]) -> list[str]:
    """Return the keys of a map in the order in which a template meets them."""
    return sorted(value, key=str)


def _printed_float(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    if value.is_integer() and abs(value) < _LARGEST_PLAIN:
        return str(int(value))
    return repr(value)


def _path(path: Path, *, is_guarded: bool) -> Evaluate:
    keys, name = path.keys, path.name
    base = _base(path.base)
    if not keys:
        return base

    def evaluate(frame: Frame) -> Value:
        value = base(frame)
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                if frame.is_strict and not is_guarded:
                    raise MissingVariable(name)
                return None
            value = value[key]
        return value

    if path.base == ROOT and len(keys) == 2:
        return _pair_from_root(keys[0], keys[1], evaluate)
    return evaluate


def _pair_from_root(first: str, second: str, otherwise: Evaluate) -> Evaluate:
    """Look up the usual two keys without a loop; what is missing is left to ``otherwise``."""

    def evaluate(frame: Frame) -> Value:
        group = frame.root.get(first)
        if type(group) is dict:
            value = group.get(second)
            if value is not None:
                return value
        return otherwise(frame)

    return evaluate


def _base(base: str | int) -> Evaluate:
    if base == ROOT:
        return lambda frame: frame.root
    if base == DOT:
        return lambda frame: frame.dot
    return lambda frame: frame.slots[base]  # type: ignore[index]


def _member(of: Evaluate, keys: tuple[str, ...]) -> Evaluate:
    def evaluate(frame: Frame) -> Value:
        value = of(frame)
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    return evaluate


def _bind(slot: int, of: Evaluate) -> Evaluate:
    def evaluate(frame: Frame) -> Value:
        value = frame.slots[slot] = of(frame)
        return value

    return evaluate


def _call(call: Call, *, is_guarded: bool) -> Evaluate:
    if call.function == "default":
        fallback, value = call.arguments
        return _default(
            compile_expression(fallback, is_guarded=is_guarded),
            compile_expression(value, is_guarded=True),
        )
    is_logic = call.function in ("and", "or", "not")
    arguments = tuple(
        compile_expression(argument, is_guarded=is_guarded or is_logic)
        for argument in call.arguments
    )
    return _FUNCTIONS[call.function](*arguments)


def _default(fallback: Evaluate, value: Evaluate) -> Evaluate:
    return lambda frame: value(frame) or fallback(frame)


def _and(*arguments: Evaluate) -> Evaluate:
    def evaluate(frame: Frame) -> Value:
        value: Value = None
        for argument in arguments:
            value = argument(frame)
            if not value:
                return value
        return value

    return evaluate


def _or(*arguments: Evaluate) -> Evaluate:
    def evaluate(frame: Frame) -> Value:
        value: Value = None
        for argument in arguments:
            value = argument(frame)
            if value:
                return value
        return value

    return evaluate


def _not(argument: Evaluate) -> Evaluate:
    return lambda frame: not argument(frame)


def _eq(first: Evaluate, *others: Evaluate) -> Evaluate:
    def evaluate(frame: Frame) -> bool:
        value = first(frame)
        return any(_is_equal(value, other(frame)) for other in others)

    return evaluate


def _ne(first: Evaluate, second: Evaluate) -> Evaluate:
    return lambda frame: not _is_equal(first(frame), second(frame))


def _get(of: Evaluate, key: Evaluate) -> Evaluate:
    def evaluate(frame: Frame) -> Value:
        value, wanted = of(frame), key(frame)
        return value.get(wanted) if isinstance(value, dict) and isinstance(wanted, str) else None

    return evaluate


def _is_equal(left: Value, right: Value) -> bool:
    """Compare two scalars; different kinds, lists and maps are never equal."""
    kind = _kind(left)
    return kind is not None and kind is _kind(right) and bool(left == right)


def _kind(value: Value) -> type | None:
    if value is None or isinstance(value, bool):
        return type(value)
    if isinstance(value, int | float):
        return float
    return str if isinstance(value, str) else None


_FUNCTIONS: dict[str, Callable[..., Evaluate]] = {
    "and": _and,
    "or": _or,
    "not": _not,
    "eq": _eq,
    "ne": _ne,
    "get": _get,
}
