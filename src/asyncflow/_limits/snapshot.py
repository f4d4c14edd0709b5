"""What the core looks like at one moment, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class HolderView:
    """Who holds how much of a limit, and since when."""

    owner: Any
    amount: int
    borrowed: int
    since: int


@dataclass(frozen=True, slots=True)
class WaiterView:
    """Who waits for how much of a limit, and since when."""

    owner: Any
    amount: int
    since: int


@dataclass(frozen=True, slots=True)
class LimitView:
    """One limit with its holders, oldest first, and its waiters in order."""

    name: str
    capacity: int | None
    held: int
    reserved: int
    debt: int
    paused: bool
    named: bool
    holders: tuple[HolderView, ...]
    waiters: tuple[WaiterView, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every limit, in order of creation."""

    at: int
    limits: tuple[LimitView, ...]

    def limit(self, name: str) -> LimitView:
        """Returns the first limit of that name.

        Raises:
            KeyError: where there is none.
        """
        for view in self.limits:
            if view.name == name:
                return view
        raise KeyError(name)
