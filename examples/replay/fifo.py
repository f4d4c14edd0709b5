"""FIFO, to compare with: first ready, first started. A simulation of its own, without asyncflow.

Tasks queue in the order in which their last parent ended (at one instant: the order of ends, then of the file). At
every end the queue is walked from its head and each task that fits is started; what does not fit is passed over, so
nothing that fits ever waits. With `head_blocks=True` the walk stops at the first task that does not fit, as in a plain
queue in front of a set of locks. Neither looks at what comes after a task: that is all that sets FIFO apart here.
"""

from __future__ import annotations

from heapq import heappop, heappush

from examples.replay.limits import Limits
from examples.replay.workflow import Workflow


def fifo(workflow: Workflow, limits: Limits, *, head_blocks: bool = False) -> float:
    """Returns the makespan in seconds of a workflow whose tasks start first come, first served.

    Raises:
        ValueError: where a task asks for more than there is.
    """
    shop = _Shop(workflow, limits)
    missing = [len(task.parents) for task in workflow.tasks]
    children: list[list[int]] = [[] for _ in workflow.tasks]
    for i, task in enumerate(workflow.tasks):
        for parent in task.parents:
            children[parent].append(i)

    queue = [i for i, count in enumerate(missing) if count == 0]
    while queue or shop.running:
        queue = shop.start(queue, head_blocks=head_blocks)
        for ended in shop.wait():
            for child in children[ended]:
                missing[child] -= 1
                if not missing[child]:
                    queue.append(child)
    return shop.now


class _Shop:
    """What is free, and what runs until when."""

    def __init__(self, workflow: Workflow, limits: Limits) -> None:
        self.now = 0.0
        self.running: list[tuple[float, int, int]] = []  # when it ends, how many started before it, which
        self._seconds = [task.seconds for task in workflow.tasks]
        self._needs = [limits.needs(task) for task in workflow.tasks]
        self._free = limits.capacities
        self._started = 0
        for i in range(len(workflow.tasks)):
            if not self._fits(i):
                raise ValueError(
                    f"task {i} of {workflow.name} needs {self._needs[i]} of {self._free}: it can never start"
                )

    def _fits(self, i: int) -> bool:
        return all(self._free[limit] >= amount for limit, amount in self._needs[i].items())

    def start(self, queue: list[int], *, head_blocks: bool) -> list[int]:
        """Starts what fits, from the head of the queue on, and returns what goes on waiting."""
        waiting: list[int] = []
        for place, i in enumerate(queue):
            if self._fits(i):
                for limit, amount in self._needs[i].items():
                    self._free[limit] -= amount
                heappush(self.running, (self.now + self._seconds[i], self._started, i))
                self._started += 1
            elif head_blocks:
                return queue[place:]
            else:
                waiting.append(i)
        return waiting

    def wait(self) -> list[int]:
        """Moves on to the next end and returns what ends then; what it held is free."""
        self.now = self.running[0][0]
        ended: list[int] = []
        while self.running and self.running[0][0] == self.now:
            _, _, i = heappop(self.running)
            for limit, amount in self._needs[i].items():
                self._free[limit] += amount
            ended.append(i)
        return ended
