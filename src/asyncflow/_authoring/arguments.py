"""Arguments of a call: every promise among them becomes a reference, and none may hide.

Plain lists, tuples and dict values are looked into; a container without promises stays the very object it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncflow._authoring.hidden import LEAVES, find_hidden
from asyncflow._authoring.node import Ref
from asyncflow._authoring.place import Place, told
from asyncflow._authoring.promise import Promise
from asyncflow._authoring.refusal import described
from asyncflow.errors import TracingError

if TYPE_CHECKING:
    from asyncflow._authoring.wiring import Wiring


class Absorbed(NamedTuple):
    """The arguments of a node as it keeps them."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] | None
    refs: bool
    sources: tuple[int, ...]


def absorbed(
    wiring: Wiring, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None, who: str, where: Place
) -> Absorbed:
    """Returns the arguments with references in place of promises.

    Raises:
        TracingError: where a promise hides, or belongs to another wiring.
    """
    sources: dict[int, None] = {}
    nested = False
    taken: list[Any] = []
    named: dict[str, Any] | None = {} if kwargs else None
    for name, value in ((None, value) for value in args) if not kwargs else (*[(None, v) for v in args], *kwargs.items()):
        kept: Any = value
        if type(value) is Promise:
            kept = wiring.ref(value)
            sources[kept.id] = None
        elif type(value) not in LEAVES and find_hidden(value) is not None:
            kept = _looked_into(wiring, value, sources, who, where)
            nested = True
        if name is None:
            taken.append(kept)
        elif named is not None:
            named[name] = kept
    return Absorbed(tuple(taken), named, nested, tuple(sources))


def _looked_into(wiring: Wiring, value: Any, sources: dict[int, None], who: str, where: Place) -> Any:  # noqa: ANN401 — any argument
    """Returns a plain container with references in place of promises; refuses anything else that has one."""
    kind = type(value)
    if kind is Promise:
        ref = wiring.ref(value)
        sources[ref.id] = None
        return ref
    if kind in LEAVES:
        return value
    if kind is list:
        return [_looked_into(wiring, part, sources, who, where) for part in value]
    if kind is tuple:
        return tuple([_looked_into(wiring, part, sources, who, where) for part in value])
    if kind is dict and all(find_hidden(key) is None for key in value):
        return {key: _looked_into(wiring, part, sources, who, where) for key, part in value.items()}
    refuse_hidden(value, f"an argument of {who}", where)
    return value


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
    raise TracingError(
        f"{what} at {told(where)} hides a promise, that of {described(promise)}, in {name}{way}, where its value could "
        f"not be put in: give results as arguments, in lists, tuples or dict values; "
        f"a step makes the object when they are there: `apply({name}, …)`, or `apply(lambda value: …, x)`"
    )


__all__ = ["Absorbed", "Ref", "absorbed", "refuse_hidden"]
