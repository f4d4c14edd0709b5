"""Arguments of a call: every promise among them becomes a reference, and none may hide.

Plain lists, tuples and dict values are looked into; a container without promises stays the very object it was. Each
of the `DEEPEST` levels may be walked once for every level above it, so there are few, and a recursion fits the stack.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from asyncflow._authoring.hidden import LEAVES, find_hidden, trail_to_hidden
from asyncflow._authoring.node import Ref
from asyncflow._authoring.place import Place, told
from asyncflow._authoring.promise import Promise
from asyncflow._authoring.refusal import described
from asyncflow.errors import TracingError

if TYPE_CHECKING:
    from asyncflow._authoring.wiring import Wiring

DEEPEST: Final = 100
"""Containers inside each other that may hold a promise; data without one may be as deep as it likes."""


class Absorbed(NamedTuple):
    """The arguments of a node as it keeps them: `refs` is true where a reference stands inside a container."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] | None
    refs: bool
    sources: tuple[int, ...]


def absorbed(
    wiring: Wiring, args: tuple[object, ...], kwargs: Mapping[str, object] | None, *, who: str, where: Place
) -> Absorbed:
    """Returns the arguments of a call with references in place of promises.

    Raises:
        TracingError: where a promise hides, or belongs to another wiring.
    """
    sources: dict[int, None] = {}
    nested = False
    kept: list[object] = []
    for value in args:
        taken = absorb(wiring, value, sources, who, where)
        nested = nested or (taken is not value and type(taken) is not Ref)
        kept.append(taken)
    named: dict[str, object] = {}
    for name, value in kwargs.items() if kwargs else ():
        taken = named[name] = absorb(wiring, value, sources, who, where)
        nested = nested or (taken is not value and type(taken) is not Ref)
    return Absorbed(tuple(kept), named or None, nested, tuple(sources))


def absorb(wiring: Wiring, value: object, sources: dict[int, None], who: str, where: Place, depth: int = 0) -> object:
    """Returns one argument as a node keeps it, and notes in `sources` what it refers to.

    Raises:
        TracingError: where a promise hides, lies too deep, or belongs to another wiring.
    """
    if type(value) is Promise:
        ref = value.ref__ if value.wiring__ is wiring else wiring.ref(value)
        sources[ref.id] = None
        return ref
    kind = type(value)
    if kind in LEAVES:
        return value
    container: Any = value
    seen = (kind is list or kind is tuple) and depth < DEEPEST and Promise in set(map(type, container))
    if not seen:
        hidden = trail_to_hidden(value)
        if hidden is None:
            return value
        if depth + len(hidden[1]) > DEEPEST:
            raise too_deep(hidden[0], who=who, where=where)
    if kind is list or kind is tuple:
        parts = [absorb(wiring, part, sources, who, where, depth + 1) for part in container]
        return parts if kind is list else tuple(parts)
    if kind is dict and all(find_hidden(key) is None for key in container):
        return {key: absorb(wiring, part, sources, who, where, depth + 1) for key, part in container.items()}
    refuse_hidden(value, f"an argument of {who}", where)
    return value


def too_deep(promise: Promise, *, who: str, where: Place) -> TracingError:
    """Returns the error for a promise inside more containers than can be walked when its value is put in."""
    return TracingError(
        f"an argument of {who}, at {told(where)}, holds the promise of {described(promise)} more than {DEEPEST}"
        " containers deep, and values are put in no deeper: let an op, or a step (`apply(function, x)`), make the"
        " inner ones"
    )


def refuse_hidden(value: object, what: str, where: Place) -> None:
    """Refuses a value in which a promise hides.

    Raises:
        TracingError: telling where it hides, and what to write instead.
    """
    hidden = find_hidden(value)
    if hidden is None:
        return
    promise, way = hidden
    name = type(value).__qualname__.rpartition(".<locals>.")[2]
    if callable(value) and not isinstance(value, type):
        instead = "give it to the function as an argument: `apply(lambda value, other: …, x, other)`"
    else:
        instead = (
            "give results as arguments, in lists, tuples or dict values, or let a step make the object when they are"
            f" there: `apply({name}, …)`"
        )
    raise TracingError(
        f"{what}, at {told(where)}, hides the promise of {described(promise)} in {name}{way}, where its value could not"
        f" be put in: {instead}"
    )
