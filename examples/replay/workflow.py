"""Recorded workflows: tasks with seconds, parents, a tool, and slots of pools.

`workflows/README.md` tells the formats and where the files come from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

RECORDED: Final = Path(__file__).with_name("workflows")


@dataclass(frozen=True, slots=True)
class Task:
    """One recorded task.

    Args:
        seconds: How long it ran.
        parents: The positions of the tasks it came after, all smaller than its own.
        tool: The program that it ran, where that was recorded.
        slots: What it takes of which pool.
    """

    seconds: float
    parents: tuple[int, ...] = ()
    tool: str | None = None
    slots: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Workflow:
    """A recorded workflow: tasks, each after its parents.

    Args:
        name: Its name.
        tasks: All of them.
        pools: The capacity of each pool.
        best_known: The shortest makespan anybody has found under these pools, where that is known.
    """

    name: str
    tasks: tuple[Task, ...]
    pools: Mapping[str, int] = field(default_factory=dict[str, int])
    best_known: float | None = None

    @property
    def work(self) -> float:
        """The seconds of all tasks."""
        return sum(task.seconds for task in self.tasks)

    def work_by_tool(self) -> dict[str, float]:
        """Returns the seconds of each tool, most work first."""
        work: dict[str, float] = {}
        for task in self.tasks:
            if task.tool is not None:
                work[task.tool] = work.get(task.tool, 0.0) + task.seconds
        return dict(sorted(work.items(), key=lambda item: -item[1]))

    def copies(self, count: int) -> Workflow:
        """Returns this workflow side by side with itself, `count` times."""
        size = len(self.tasks)
        tasks = [
            replace(task, parents=tuple([parent + copy * size for parent in task.parents]))
            for copy in range(count)
            for task in self.tasks
        ]
        best = self.best_known if count == 1 else None
        return replace(
            self, name=f"{count} × {self.name}" if count > 1 else self.name, tasks=tuple(tasks), best_known=best
        )


def names() -> list[str]:
    """Returns the names of the workflows that come with the example."""
    return sorted(path.stem for path in RECORDED.glob("*.json"))


def load(name: str) -> Workflow:
    """Returns a workflow by the name of a recorded one (or how it begins), or by the path of a file.

    Raises:
        ValueError: where there is none, more than one, or the file has another format.
    """
    path = Path(name)
    if path.suffix != ".json":
        found = [known for known in names() if known == name] or [known for known in names() if known.startswith(name)]
        if len(found) != 1:
            near = found or get_close_matches(name, names(), n=3) or names()
            raise ValueError(f"no single recorded workflow is called {name!r}; there is {', '.join(near)}")
        path = RECORDED / f"{found[0]}.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    readers = {"dagtrace-1": _read_trace, "rcpsp-1": _read_project}
    if data.get("format") not in readers:
        raise ValueError(f"{path} has the format {data.get('format')!r}; known are {', '.join(readers)}")
    workflow = readers[data["format"]](data)
    for i, task in enumerate(workflow.tasks):
        if any(not 0 <= parent < i for parent in task.parents):
            raise ValueError(f"{path}: task {i} comes after {list(task.parents)}; parents stand before their children")
    return workflow


def _read_trace(data: Mapping[str, Any]) -> Workflow:
    """Reads an execution trace: a task has a tool, seconds and parents."""
    tools = data["tags"]
    tasks = [Task(float(row[1]), tuple(row[2]), tool=tools[row[0]]) for row in data["tasks"]]
    return Workflow(data["name"], tuple(tasks))


def _read_project(data: Mapping[str, Any]) -> Workflow:
    """Reads a project to be scheduled: a task has a duration, amounts of each resource, and parents."""
    pools = {f"r{number}": capacity for number, capacity in enumerate(data["capacity"], start=1)}

    def slots(amounts: list[int]) -> Iterator[tuple[str, int]]:
        for pool, amount in zip(pools, amounts, strict=True):
            if amount:
                yield pool, amount

    tasks = [Task(float(row[0]), tuple(row[2]), slots=dict(slots(row[1]))) for row in data["tasks"]]
    return Workflow(data["name"], tuple(tasks), pools, best_known=float(data["ub"]))
