"""What no order can beat: the longest path, and the work of each limit spread over its capacity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from examples.replay.limits import Limits
from examples.replay.workflow import Workflow


@dataclass(frozen=True, slots=True)
class Bounds:
    """Lower bounds of a makespan, in seconds.

    Args:
        longest_path: The longest chain of tasks that come after each other.
        spread: For each limit, slots × seconds asked of it, over its capacity.
    """

    longest_path: float
    spread: Mapping[str, float]

    @classmethod
    def of(cls, workflow: Workflow, limits: Limits) -> Bounds:
        """Computes the bounds."""
        ends: list[float] = []
        work: dict[str, float] = dict.fromkeys(limits.capacities, 0.0)
        for task in workflow.tasks:
            ends.append(task.seconds + max((ends[parent] for parent in task.parents), default=0.0))
            for limit, amount in limits.needs(task).items():
                work[limit] += amount * task.seconds
        spread = {limit: work[limit] / capacity for limit, capacity in limits.capacities.items() if capacity}
        return cls(max(ends, default=0.0), spread)

    @property
    def lower(self) -> float:
        """The largest of them."""
        return max((self.longest_path, *self.spread.values()))

    @property
    def reason(self) -> str:
        """Which one is the largest: `longest path`, or the name of a limit."""
        named = {"longest path": self.longest_path, **self.spread}
        return max(named, key=lambda name: named[name])
