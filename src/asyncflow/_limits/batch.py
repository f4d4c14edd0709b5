"""Changes as data: worked out first, then made in one step, or only tried on a copy.

What `tune` does and what `preview` shows are the same list, so they cannot differ. Arguments are checked when a change
is noted; making the list cannot fail half-way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from asyncflow._limits.claim import GRANTED, WAITING, Claim
from asyncflow._limits.limit import Limit, check_capacity
from asyncflow.errors import AdmissionError

if TYPE_CHECKING:
    from asyncflow._limits.demand import Demand
    from asyncflow._limits.tuning import Tuning
    from asyncflow._limits.twin import Twin


@dataclass(frozen=True, slots=True, eq=False)
class NewLimit:
    """A limit that is still to be made. Stands for it in the needs of claims."""

    name: str
    capacity: int | None
    named: bool
    reentrant: bool


Needs: TypeAlias = "tuple[tuple[Limit | NewLimit, int], ...]"


@dataclass(frozen=True, slots=True)
class Preview:
    """What a round would do after changes.

    Attributes:
        starts: Who would start, in order.
        stays: Who would wait.
        never: Those of them who ask for more than a limit could ever give.
    """

    starts: tuple[Claim, ...]
    stays: tuple[Claim, ...]
    never: tuple[Claim, ...]


class _Place:
    """Where changes are made: the core itself, or a copy of it."""

    def __init__(self, core: Tuning, twin: Twin | None) -> None:
        self.core = core
        self._twin = twin
        self.made: dict[NewLimit, Limit] = {}

    def limit(self, limit: Limit | NewLimit) -> Limit:
        if isinstance(limit, NewLimit):
            return self.made[limit]
        return limit if self._twin is None else self._twin.limit(limit)

    def claim(self, claim: Claim) -> Claim:
        return claim if self._twin is None else self._twin.claim(claim)

    def demand(self, needs: Needs) -> Demand:
        return self.core.demand([(self.limit(limit), amount) for limit, amount in needs])


class Changes:
    """A list of stimuli that is made as a whole. Noting one changes nothing."""

    def __init__(self) -> None:
        self._new: list[NewLimit] = []
        self._steps: list[Callable[[_Place], None]] = []

    def new_limit(self, name: str, capacity: int | None, *, named: bool = True, reentrant: bool = True) -> NewLimit:
        """Notes a limit to be made, and returns what stands for it."""
        limit = NewLimit(name, check_capacity(name, capacity), named, reentrant)
        self._new.append(limit)
        return limit

    def resize(self, limit: Limit, capacity: int | None) -> None:
        """Notes another capacity."""
        checked = check_capacity(limit.name, capacity)
        self._steps.append(lambda place: place.core.resize(place.limit(limit), checked))

    def pause(self, limit: Limit | NewLimit) -> None:
        """Notes that nothing starts on a limit until it is resumed."""
        self._steps.append(lambda place: place.core.pause(place.limit(limit)))

    def resume(self, limit: Limit) -> None:
        """Notes that a paused limit goes on."""
        self._steps.append(lambda place: place.core.resume(place.limit(limit)))

    def rematch(self, claim: Claim, needs: Iterable[tuple[Limit | NewLimit, int]]) -> None:
        """Notes that a claim asks for something else.

        Raises:
            AdmissionError: where it neither waits nor holds.
        """
        if claim.state is not WAITING and claim.state is not GRANTED:
            raise AdmissionError(f"{claim!r} neither waits nor holds; only such a claim can have another demand")
        asked = tuple(needs)
        self._steps.append(lambda place: place.core.rematch(place.claim(claim), place.demand(asked)))

    def make(self, core: Tuning, twin: Twin | None = None) -> Mapping[NewLimit, Limit]:
        """Makes the limits, then all that was noted, in order.

        Args:
            core: Where.
            twin: What `core` is a copy by; None for the original.
        """
        place = _Place(core, twin)
        for new in self._new:
            place.made[new] = core.limit(new.name, new.capacity, named=new.named, reentrant=new.reentrant)
        for step in self._steps:
            step(place)
        return place.made

    def __len__(self) -> int:
        return len(self._new) + len(self._steps)

    def __repr__(self) -> str:
        return f"<changes {len(self)}>"
