"""Find the places in HTML where each output may stand, through all branches and rounds."""

from __future__ import annotations

from sending.rendering.contexts import Context, Place, after_action, after_text
from sending.rendering.syntax import Body, If, Node, Output, Range, Static, Tracked, With

_MOST_CONTEXTS = 16
_EFFORT_PER_NODE = 20
_EFFORT_PER_CHARACTER = 20
_LEAST_EFFORT = 100_000

_Contexts = frozenset[Context]

_BEGINNING: _Contexts = frozenset({Context()})
_UNCLEAR: _Contexts = frozenset({Context(Place.UNCLEAR)})


def contexts_of_outputs(body: Body) -> dict[int, set[Context]]:
    """Return the contexts of each output by its ``start``.

    Branches that leave the markup in different states are all followed. A template with too
    many of them gets the context UNCLEAR from there on.
    """
    walk = _Walk(effort=_LEAST_EFFORT + _effort(body))
    walk.body(body, _BEGINNING)
    return walk.found


def _effort(body: Body) -> int:
    """Say how much work a template of this size may cause; a usual one needs a twentieth."""
    total = 0
    for node in body:
        total += _EFFORT_PER_NODE
        if isinstance(node, Static):
            total += _EFFORT_PER_CHARACTER * len(node.text)
        for inner in _bodies(node):
            total += _effort(inner)
    return total


def _bodies(node: Node) -> tuple[Body, ...]:
    match node:
        case If(branches=branches, otherwise=otherwise):
            return (*(body for _, body in branches), otherwise)
        case With(body=body, otherwise=otherwise) | Range(body=body, otherwise=otherwise):
            return (body, otherwise)
        case Tracked(body=body):
            return (body,)
    return ()


class _Walk:
    def __init__(self, *, effort: int) -> None:
        self._effort = effort
        self.found: dict[int, set[Context]] = {}

    def body(self, body: Body, contexts: _Contexts) -> _Contexts:
        """Follow the nodes of a body and return the contexts after it."""
        for node in body:
            contexts = self._limited(self._node(node, contexts))
        return contexts

    def _node(self, node: Node, contexts: _Contexts) -> _Contexts:
        match node:
            case Static(text=text):
                self._effort -= len(text) * len(contexts)
                return frozenset(after_text(context, text) for context in contexts)
            case Output(start=start):
                self.found.setdefault(start, set()).update(contexts)
                return frozenset(map(after_action, contexts))
            case If() | With():
                return frozenset().union(*(self.body(body, contexts) for body in _bodies(node)))
            case Tracked(body=body):
                return self.body(body, contexts)
            case Range(body=body, otherwise=otherwise):
                return self._repeated(body, contexts) | self.body(otherwise, contexts)
        return contexts

    def _repeated(self, body: Body, contexts: _Contexts) -> _Contexts:
        """Follow a body until another round brings nothing new; after a third, give up."""
        for _ in range(2):
            after = self.body(body, contexts)
            if after <= contexts:
                return contexts
            contexts = self._limited(contexts | after)
        if not self.body(body, contexts) <= contexts:
            self.body(body, _UNCLEAR)
            return _UNCLEAR
        return contexts

    def _limited(self, contexts: _Contexts) -> _Contexts:
        self._effort -= 1
        is_too_much = len(contexts) > _MOST_CONTEXTS or self._effort < 0
        return _UNCLEAR if is_too_much else contexts
