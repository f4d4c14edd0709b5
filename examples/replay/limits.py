"""The limits a workflow is replayed under, and what each task asks of them.

Limits go by the names asyncflow gives them in results, so that the replay, the bounds and FIFO speak of the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from asyncflow import TagLimit
from examples.replay.workflow import Task, Workflow

CAP = "@max_concurrent"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a replay runs under.

    Args:
        max_concurrent: How many tasks run at once; None is unlimited.
        tools: How many tasks of a tool run at once, for the tools that have a limit.
        pools: The capacity of each pool.
    """

    max_concurrent: int | None = None
    tools: Mapping[str, int] = field(default_factory=dict[str, int])
    pools: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def capacities(self) -> dict[str, int]:
        """The capacity of every limit by the name asyncflow gives it."""
        cap = {} if self.max_concurrent is None else {CAP: self.max_concurrent}
        return cap | {tag_limit(tool): limit for tool, limit in self.tools.items()} | dict(self.pools)

    @property
    def rules(self) -> list[TagLimit]:
        """The limits of tools as asyncflow takes them."""
        return [TagLimit(key="tool", value=tool, limit=limit) for tool, limit in self.tools.items()]

    def needs(self, task: Task) -> dict[str, int]:
        """Returns how much a task asks of which limit; a pool without one is unlimited."""
        needs = {pool: amount for pool, amount in task.slots.items() if pool in self.pools}
        if self.max_concurrent is not None:
            needs[CAP] = 1
        if task.tool is not None and task.tool in self.tools:
            needs[tag_limit(task.tool)] = 1
        return needs


def tag_limit(tool: str) -> str:
    """Returns the name asyncflow gives to the limit of a tool."""
    return f"@tag:tool={tool}"


def find_tool(workflow: Workflow, name: str) -> str:
    """Returns a tool by its name, by how its dotted name ends, or by its place: `#1` has the most work, `#2` the next.

    Raises:
        ValueError: where there is none, or more than one.
    """
    tools = list(workflow.work_by_tool())
    if name.startswith("#"):
        if name[1:].isdigit() and 1 <= int(name[1:]) <= len(tools):
            return tools[int(name[1:]) - 1]
        raise ValueError(f"there is no tool {name}: {workflow.name} has {len(tools)}")
    found = [tool for tool in tools if tool == name] or [tool for tool in tools if tool.endswith(f".{name}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{len(found)} tools end in {name!r}; write one of {', '.join(found)}")
    short = {tool.rpartition(".")[2]: tool for tool in tools}
    near = get_close_matches(name, short, n=1)
    raise ValueError(f"{workflow.name} has no tool {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
