"""What all runs of one deployment share on one loop: its limits, its queue, and who has which conflict key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncflow._executor.supply import NO_OVERRIDES, Overrides

if TYPE_CHECKING:
    from asyncflow._executor.engine import Engine
    from asyncflow._executor.run_state import RunState
    from asyncflow._executor.shelf import Shelf
    from asyncflow._limits import Claim, LimitBook, RunBook
    from asyncflow.hooks import Hooks


class DeploymentState:
    """The state of one deployment, or of one branch of it, in an engine.

    A branch has its own beside its parent's, in the same engine: one core decides for all of them.

    Args:
        name: The deployment's name.
        engine: Where it lives.
        pools: Its pools; a branch may have its parent's.
        runs: What its runs ask for as a whole.
        max_queued: How many of its runs may wait in the queue; None is no bound.

    Attributes:
        queued: Its runs that are not admitted, by id, in order of submission.
        conflicts: Its live runs that have a conflict key.
        buffered: The grants of runs that were admitted although all their roots are blocked.
        overrides: What new runs put in the place of which provider.
        shelf: What has the resources that its runs share, while it is open.
        hooks: Those that are told of all its runs.
        judges: True where the values of ops are judged against their annotations.
    """

    __slots__ = (
        "buffered",
        "conflicts",
        "engine",
        "hooks",
        "judges",
        "max_queued",
        "name",
        "overrides",
        "pools",
        "queued",
        "runs",
        "shelf",
    )

    def __init__(self, name: str, *, engine: Engine, pools: LimitBook, runs: RunBook, max_queued: int | None) -> None:
        self.name = name
        self.engine = engine
        self.pools = pools
        self.runs = runs
        self.max_queued = max_queued
        self.queued: dict[str, RunState] = {}
        self.conflicts: dict[str, list[RunState]] = {}
        self.buffered: dict[RunState, Claim] = {}
        self.overrides: Overrides = NO_OVERRIDES
        self.shelf: Shelf | None = None
        self.judges = False
        self.hooks: Hooks | None = None

    def __repr__(self) -> str:
        return f"<state of deployment {self.name} queued={len(self.queued)}>"
