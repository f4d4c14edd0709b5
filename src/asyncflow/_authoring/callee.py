"""What can be called while wiring, apart from its types: a definition and what a call of it carries along."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

if TYPE_CHECKING:
    from asyncflow._authoring.definition import GraphDefinition, OpDefinition


WINDOW: Final = 64
"""How many items of a stream may be ahead of those that are done."""


class Callee:
    """An op or a graph as the wiring sees it.

    Attributes:
        definition: What was decorated.
        leading: Arguments before all others: the instance, where it is a method.
        order: Results that calls start after.
        map_key: Names the items of an `each`.
        window: How many items of a stream an `each` of it takes at once.
    """

    __slots__ = ("definition", "leading", "map_key", "order", "window")

    definition: OpDefinition | GraphDefinition
    leading: tuple[Any, ...]
    order: tuple[Any, ...]
    map_key: Callable[[Any], str] | None
    window: int
    _all_slots: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._all_slots = tuple([slot for base in cls.__mro__ for slot in base.__dict__.get("__slots__", ())])

    def bound_to(self, receiver: object) -> Self:
        """Returns a copy that is called with `receiver` first: an instance, or a class."""
        return self._copy(leading=(receiver, *self.leading))

    def bound_in(self, instance: object, owner: type[Any] | None) -> Self:
        """Returns what stands for it in a class: bound to the instance, to the class, or to nothing; bound once."""
        binds = self.definition.binds
        if binds == "nothing" or self.leading:
            return self
        if binds == "class":
            return self.bound_to(type(instance) if owner is None else owner)
        return self if instance is None else self.bound_to(instance)

    def _copy(self, **changes: Any) -> Self:
        """Returns a copy with some slots changed."""
        new = object.__new__(type(self))
        for slot in self._all_slots:
            object.__setattr__(new, slot, changes[slot] if slot in changes else getattr(self, slot))
        return new


class SettledCallee:
    """An op or a graph whose calls give outcomes."""

    __slots__ = ("callee",)

    callee: Callee
