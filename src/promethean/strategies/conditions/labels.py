"""Names as values: a series that holds one, as REGIME does, is compared with a name, as trend_up, and nothing else."""

from __future__ import annotations

from promethean.strategies.conditions.scope import Scope
from promethean.strategies.conditions.tree import Back, Parameter, Series, Tree

RELATIONS = ("==", "!=")
"""How names are compared: there is no larger one."""


def is_name(tree: Tree, scope: Scope) -> bool:
    """Whether the tree is a name, or a series that holds one, and not a number."""
    match tree:
        case Series(name):
            return name in scope.labels
        case Parameter(name):
            return name in scope.words
        case Back(operand):
            return is_name(operand, scope)
        case _:
            return False


def no_condition(said: str, tree: Tree, scope: Scope, joined: str) -> str:
    """That what was written is a value; joined: what it is not, if that is to be said."""
    kind = "name" if is_name(tree, scope) else "number"
    return f"{said!r} is a {kind}{joined}; compare it, for example {_example(said, tree, scope)}"


def no_number(who: str, said: str, tree: Tree, scope: Scope) -> str:
    """That `who` takes numbers, and what was written is a name."""
    return f"{who} takes numbers, and {said!r} is a name; write for example {_example(said, tree, scope)}"


def unlike(name: str, tree: Tree, number: str, scope: Scope) -> str:
    """That a name stands beside a number."""
    return f"{name} is a name, and {number!r} a number; write for example {_example(name, tree, scope)}"


def _example(said: str, tree: Tree, scope: Scope) -> str:
    if not is_name(tree, scope):
        return f"{said} > 0"
    if isinstance(tree, Parameter):
        return f"{min(scope.labels, default=said)} == {said}"
    return f"{said} == {max(scope.words, default=said)}"
