"""Limits by name, made at their first use, and how they will be after a change that is not made yet.

Fine limits (keys, unique values, conflict keys) come and go with customers and hosts, so those that nobody uses are
swept out whenever their number has doubled. One is in use as long as somebody holds it or has a demand that names it:
otherwise two limits of one name could be alive at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Protocol, TypeVar

from asyncflow._limits.admission import Admission
from asyncflow._limits.limit import Limit
from asyncflow._limits.proposal import Changes, NewLimit

L_co = TypeVar("L_co", covariant=True)

_FEW: Final = 64


class Find(Protocol[L_co]):
    """Finds or makes the limit of a name."""

    def __call__(self, name: str, capacity: int | None, *, named: bool = True, reentrant: bool = True) -> L_co:
        """Returns the limit."""
        ...


class LimitTable:
    """The limits of one deployment by name.

    Args:
        admission: Where they live.
        external: True where another side grants their units.
    """

    def __init__(self, admission: Admission, *, external: bool = False) -> None:
        self._admission = admission
        self.external = external
        self._limits: dict[str, Limit] = {}
        self._fine: dict[str, Limit] = {}
        self._sweep_at = _FEW

    def find(self, name: str, capacity: int | None, *, named: bool = True, reentrant: bool = True) -> Limit:
        """Returns the limit of this name, with this capacity where it is made now."""
        limit = self.known(name)
        if limit is None:
            if len(self._fine) >= self._sweep_at:
                self._sweep()
            limit = self._admission.limit(name, capacity, named=named, reentrant=reentrant, external=self.external)
            self.adopt(limit)
        return limit

    def known(self, name: str) -> Limit | None:
        """Returns the limit of this name, or None where it was never used."""
        return self._limits.get(name) or self._fine.get(name)

    def adopt(self, limit: Limit) -> None:
        """Enters a limit that exists already."""
        (self._limits if limit.named else self._fine)[limit.name] = limit

    def __iter__(self) -> Iterator[Limit]:
        yield from self._limits.values()
        yield from self._fine.values()

    def _sweep(self) -> None:
        """Forgets the fine limits that nobody uses."""
        for limit in self._admission.idle(self._fine.values()):
            self._admission.drop(limit)
            del self._fine[limit.name]
        self._sweep_at = max(_FEW, 2 * len(self._fine))

    def __repr__(self) -> str:
        return f"<limit table named={len(self._limits)} fine={len(self._fine)}>"


class Draft:
    """The limits of a table as they will be: those that exist with other capacities, and those still to be made.

    Args:
        table: The limits as they are; they are not touched.
        changes: Gathers what has to be done.
    """

    def __init__(self, table: LimitTable, changes: Changes) -> None:
        self._table = table
        self._changes = changes
        self._drawn: dict[str, Limit | NewLimit] = {}

    def find(self, name: str, capacity: int | None, *, named: bool = True, reentrant: bool = True) -> Limit | NewLimit:
        """Returns the limit of this name as it will be."""
        drawn = self._drawn.get(name)
        if drawn is None:
            known = self._table.known(name)
            if known is None:
                drawn = self._changes.new_limit(
                    name, capacity, named=named, reentrant=reentrant, external=self._table.external
                )
            else:
                drawn = known
                if known.capacity != capacity:
                    self._changes.resize(known, capacity)
            self._drawn[name] = drawn
        return drawn

    def settle(self, made: Mapping[NewLimit, Limit]) -> None:
        """The changes were made: the table has the new limits from now on."""
        for drawn in self._drawn.values():
            if isinstance(drawn, NewLimit) and drawn in made:
                self._table.adopt(made[drawn])
