"""An admission core some of whose limits a backend grants: what is given back here is given back there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from asyncflow._limits import Admission, Claim, Limit


class GivesBack(Protocol):
    """Who is told of the ends of grants and waits."""

    def ends(self, claim: Claim, limits: Iterable[Limit] | None) -> None:
        """A grant is about to end, or its part on some limits."""

    def leaves(self, claim: Claim) -> None:
        """A waiter, or a grant that has not begun, is about to be taken back."""


class RemoteAdmission(Admission):
    """Tells `remote` of every end, before it happens."""

    __slots__ = ("remote",)

    def __init__(self, *, max_overtakes: int, describe: Callable[[Any], str]) -> None:
        super().__init__(max_overtakes=max_overtakes, describe=describe)
        self.remote: GivesBack | None = None

    def release(self, claim: Claim, limits: Iterable[Limit] | None = None) -> None:
        """Gives back a whole grant, or what it has of some limits; see `Admission.release`."""
        chosen = None if limits is None else tuple(limits)
        if self.remote is not None:
            self.remote.ends(claim, chosen)
        super().release(claim, chosen)

    def withdraw(self, claim: Claim) -> None:
        """Takes a claim back, whatever its state; see `Admission.withdraw`."""
        if self.remote is not None:
            self.remote.leaves(claim)
        super().withdraw(claim)
