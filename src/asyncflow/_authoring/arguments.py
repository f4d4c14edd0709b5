"""Arguments of a call: every promise among them becomes a reference, and none may hide.

Plain lists, tuples and dict values are looked into; a container without promises stays the very object it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncflow._authoring.hidden import LEAVES, find_hidden
from asyncflow._authoring.place import Place, told
from asyncflow._authoring.promise import Promise
from asyncflow._authoring.refusal import described
from asyncflow.errors import TracingError

if TYPE_CHECKING:
    from asyncflow._authoring.node import Ref
    from asyncflow._authoring.wiring import Wiring


class Absorbed(NamedTuple):
    """The arguments of a node as it keeps them: `refs` is true where a reference stands inside a container."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] | None
    refs: bool
    sources: tuple[int, ...]


class Absorber:
    """Takes in the arguments of one call, and notes what they refer to.

    Args:
        wiring: The wiring.
        who: What is called, for messages.
        where: The user's call.
    """

    __slots__ = ("nested", "sources", "where", "who", "wiring")

    def __init__(self, wiring: Wiring, who: str, where: Place) -> None:
        self.wiring = wiring
        self.who = who
        self.where = where
        self.sources: dict[int, None] = {}
        self.nested = False

    def kept(self, value: object) -> object:
        """Returns an argument as a node keeps it.

        Raises:
            TracingError: where a promise hides, or belongs to another wiring.
        """
        if type(value) is Promise:
            return self._referred(value)
        if type(value) in LEAVES or find_hidden(value) is None:
            return value
        self.nested = True
        return self._looked_into(value)

    def _referred(self, promise: Promise) -> Ref:
        ref = self.wiring.ref(promise)
        self.sources[ref.id] = None
        return ref

    def _looked_into(self, value: object) -> object:
        if type(value) is Promise:
            return self._referred(value)
        if type(value) in LEAVES:
            return value
        kind = type(value)
        container: Any = value
        if kind is list:
            return [self._looked_into(part) for part in container]
        if kind is tuple:
            return tuple([self._looked_into(part) for part in container])
        if kind is dict and all(find_hidden(key) is None for key in container):
            return {key: self._looked_into(part) for key, part in container.items()}
        refuse_hidden(value, f"an argument of {self.who}", self.where)
        return value


def absorbed(
    wiring: Wiring, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None, *, who: str, where: Place
) -> Absorbed:
    """Returns the arguments of a call with references in place of promises.

    Raises:
        TracingError: where a promise hides, or belongs to another wiring.
    """
    absorber = Absorber(wiring, who, where)
    kept = tuple([absorber.kept(value) for value in args])
    named = {name: absorber.kept(value) for name, value in kwargs.items()} if kwargs else None
    return Absorbed(kept, named, absorber.nested, tuple(absorber.sources))


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
