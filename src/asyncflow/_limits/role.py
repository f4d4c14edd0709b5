"""What is special about one waiter. Most waiters are plain and have no role."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncflow._limits.claim import Claim
from asyncflow._limits.limit import Limit

if TYPE_CHECKING:
    from asyncflow._limits.earmark import Earmark
    from asyncflow._limits.gatherer import Gatherer


class Role:
    """The special state of one waiter.

    Attributes:
        passed: For each limit, the starts that passed it there while it was the oldest.
        gatherer: Set while it gathers.
        earmark: Set while its local part is set aside and the other side was asked.
        span: Nanoseconds that its next earmark is safe; 0 before the first.
        resting: True until the round after the one in which its earmark was dropped.
        ripe: True until the end of the round in which it was passed often enough to gather.
    """

    __slots__ = ("earmark", "gatherer", "passed", "resting", "ripe", "span")

    def __init__(self) -> None:
        self.passed: dict[Limit, int] = {}
        self.gatherer: Gatherer | None = None
        self.earmark: Earmark | None = None
        self.span = 0
        self.resting = False
        self.ripe = False

    @classmethod
    def of(cls, claim: Claim) -> Role:
        """Returns the role of a waiter, made where it was a plain one."""
        if claim.role is None:
            claim.role = cls()
        return claim.role

    @property
    def apart(self) -> bool:
        """True where the waiter does not stand in its cell's queue."""
        return self.gatherer is not None or self.earmark is not None or self.resting
