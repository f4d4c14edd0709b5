"""A proposal: several changes as plain data, to be tried on a copy before they are made, or to be made all or none.

`tune` changes many things in one step: a few capacities, the demands of everybody to whom a rule now applies, limits
that did not exist before. Made one by one, a refusal in the middle would leave half a configuration behind; tried one
by one, a preview would show what no round will ever decide. So they are collected first. Collecting checks whatever
can be checked without a core; before the first is made, the whole list is checked against one (`enactment`), and what
could still go wrong after that would be a fault of ours, not of the list.

A limit that shall be made is named by a token, `NewLimit`, that later changes of the same list may use like a limit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from asyncflow._limits.claim import Claim
from asyncflow._limits.group import Party
from asyncflow._limits.limit import Limit, check_capacity
from asyncflow.errors import AdmissionError


@dataclass(frozen=True, slots=True, eq=False)
class NewLimit:
    """A limit that will be made when the changes are; two of the same name are two limits."""

    name: str
    capacity: int | None
    named: bool = True
    reentrant: bool = True
    external: bool = False


AnyLimit: TypeAlias = Limit | NewLimit
Asked: TypeAlias = tuple[tuple[AnyLimit, int], ...]


@dataclass(frozen=True, slots=True)
class Resize:
    """A limit gets another capacity."""

    limit: AnyLimit
    capacity: int | None


@dataclass(frozen=True, slots=True)
class Pause:
    """A limit starts nothing from then on."""

    limit: AnyLimit


@dataclass(frozen=True, slots=True)
class Resume:
    """A paused limit goes on."""

    limit: AnyLimit


@dataclass(frozen=True, slots=True)
class Rematch:
    """A claim gets another demand."""

    claim: Claim
    needs: Asked


@dataclass(frozen=True, slots=True)
class Reprioritise:
    """A run or block gets another priority."""

    party: Party
    priority: int


@dataclass(frozen=True, slots=True)
class Withdraw:
    """A claim is taken back, whatever its state."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Release:
    """A whole grant ends."""

    claim: Claim


Step: TypeAlias = NewLimit | Resize | Pause | Resume | Rematch | Reprioritise | Withdraw | Release


class Changes:
    """Changes in the order in which they shall be made. Building them changes nothing.

    Attributes:
        steps: The changes.

    Example:
        >>> changes = Changes()
        >>> db = changes.new_limit("db", 5)
        >>> changes.resize(db, -1)
        Traceback (most recent call last):
        asyncflow.errors.ConfigurationError: the capacity of 'db' is -1; None is unlimited, 0 is paused
    """

    __slots__ = ("steps",)

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def new_limit(
        self, name: str, capacity: int | None, *, named: bool = True, reentrant: bool = True, external: bool = False
    ) -> NewLimit:
        """Makes a limit; what is returned stands for it in later changes of this list.

        Raises:
            ConfigurationError: where the capacity is negative.
        """
        new = NewLimit(name, check_capacity(name, capacity), named, reentrant, external)
        self.steps.append(new)
        return new

    def resize(self, limit: AnyLimit, capacity: int | None) -> None:
        """Gives a limit another capacity.

        Raises:
            ConfigurationError: where it is negative.
        """
        self.steps.append(Resize(limit, check_capacity(limit.name, capacity)))

    def pause(self, limit: AnyLimit) -> None:
        """Starts nothing on a limit until it is resumed."""
        self.steps.append(Pause(limit))

    def resume(self, limit: AnyLimit) -> None:
        """Lets a paused limit go on."""
        self.steps.append(Resume(limit))

    def rematch(self, claim: Claim, needs: Iterable[tuple[AnyLimit, int]]) -> None:
        """Gives a claim another demand; nothing happens where it is the one it has. Amounts for one limit are added.

        Raises:
            AdmissionError: where an amount is below 1.
        """
        asked = tuple(needs)
        for limit, amount in asked:
            if amount < 1:
                raise AdmissionError(
                    f"a rematch of {claim!r} asks for {amount} of {limit.name!r}; ask for at least 1, or leave it out"
                )
        self.steps.append(Rematch(claim, asked))

    def reprioritise(self, party: Party, priority: int) -> None:
        """Gives a party another run priority."""
        self.steps.append(Reprioritise(party, priority))

    def withdraw(self, claim: Claim) -> None:
        """Takes a claim back, whatever its state; of a ghost, both halves."""
        self.steps.append(Withdraw(claim))

    def release(self, claim: Claim) -> None:
        """Ends a whole grant."""
        self.steps.append(Release(claim))

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        return f"<changes {', '.join([type(step).__name__ for step in self.steps]) or 'none'}>"
