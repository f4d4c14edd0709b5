"""Ghosts: a queued run waits once for each distinct demand of its roots.

A ghost is one waiter for two claims: the run's own (its place, tags and pools) and one root's. Both are granted in one
step, so there is no moment at which a run has its place and its roots cannot start. The first ghost admitted takes
everything; the others of the run vanish. In the queue a ghost goes by its run-level claim, with the demands added.
"""

from __future__ import annotations

from asyncflow._limits.claim import Claim
from asyncflow._limits.demand import Demand


class GhostFamily:
    """All ghosts of one run that still wait.

    Attributes:
        ghosts: In order of enqueueing.
        gatherer: The one that gathers; there is at most one.
    """

    __slots__ = ("gatherer", "ghosts")

    def __init__(self) -> None:
        self.ghosts: list[Ghost] = []
        self.gatherer: Ghost | None = None


class Ghost:
    """One way in which a queued run may start.

    Attributes:
        run: The run-level claim.
        root: The root's claim; None where the run is admitted alone.
        demand: Both demands added.
        family: The ghosts of the same run.
    """

    __slots__ = ("demand", "family", "root", "run")

    def __init__(self, run: Claim, root: Claim | None, demand: Demand, family: GhostFamily) -> None:
        self.run = run
        self.root = root
        self.demand = demand
        self.family = family
        family.ghosts.append(self)
        run.ghost = self
        if root is not None:
            root.ghost = self

    @property
    def claims(self) -> list[Claim]:
        """The claims that are granted together, the run's first."""
        return [self.run] if self.root is None else [self.run, self.root]

    @property
    def overshadowed(self) -> bool:
        """True while another ghost of the run gathers: this one is not counted."""
        return self.family.gatherer is not None and self.family.gatherer is not self
