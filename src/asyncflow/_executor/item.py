"""One item of a stream while it runs: a small execution over the plan of its chain, forgotten when it has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncflow._executor.execution import Execution
from asyncflow._executor.scope_limits import ScopeLimits
from asyncflow._plan import MARK
from asyncflow._scheduler import SKIPPED

if TYPE_CHECKING:
    from asyncflow._executor.branch import Branch


class ItemExecution(Execution):
    """What runs for one item of a stream.

    Args:
        branch: The chain of maps it goes through.
        index: Its number.
        name: What stands between the brackets of its keys.
        limits: The limits of the scopes that its maps stand in.
    """

    __slots__ = ("branch", "index", "name")

    def __init__(self, branch: Branch, index: int, name: str, limits: list[ScopeLimits | None]) -> None:
        frame = branch.frame
        plan = branch.item.plan
        super().__init__(
            plan,
            frame.run,
            context=frame.context,
            parent=branch.flow.hub,
            order=frame.parent_order,
            prefix=frame.prefix,
            limits=branch.limits[0],
        )
        self.branch = branch
        self.index = index
        self.name = name
        self.default_retry = frame.default_retry
        self.scope_limits = limits

    def start(self, value: object) -> None:
        """Gives the item and the captured results their values."""
        outer = self.branch.frame
        plan = self.plan
        for i in plan.roots:
            if i > len(self.branch.item.captures):
                self.arrive(i)
        for (_, i), captured in zip(plan.inputs[1:], self.branch.item.captures, strict=True):
            if outer.status[captured] == SKIPPED:
                self.skip(i)
            else:
                self.succeed(i, outer.values[captured])
        self.succeed(0, value)

    def succeed(self, i: int, value: object) -> None:
        """Node `i` gave `value`; where that is the result of a map, whoever waits for it gets it."""
        super().succeed(i, value)
        if i in self.branch.results:
            self.branch.deliver(self, i, value)

    def grow(self, new: range, i: int) -> None:
        """A map inside the item, or a late graph, appended nodes: they stand where the item stands."""
        del i
        self._make_room(new)
        for j in new:
            node = self.nodes[j]
            priority = -node.op.options.priority if node.op is not None else 0
            self.orders.append(self.branch.order_of(priority, self.index, -node.stage, -node.height, j))

    def grow_late(self, new: range, i: int) -> None:
        """Likewise for a late graph."""
        self.grow(new, i)

    def named(self, text: str) -> str:
        """Returns a key or a path with the item's name in it."""
        return text.replace(MARK, self.name)

    def key(self, i: int) -> str:
        """Returns the key of a node, with the item's name in it."""
        key = self.nodes[i].key.replace(MARK, self.name)
        return f"{self.prefix}{key}" if self.prefix else key

    def tolerated(self, i: int) -> bool:
        """True where a settled call takes the failure of `i`, in the item or around it."""
        return self.nodes[i].settled >= 0 or self.branch.frame.tolerated(self.branch.stage_of(i))

    @property
    def outermost(self) -> Execution:
        """The execution that all of this belongs to."""
        return self.branch.frame.outermost

    def wake_waiters(self) -> None:
        """It has ended: its stream takes what it left."""
        super().wake_waiters()
        self.branch.item_ended(self)
