"""Values that a store has, for what a selection leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asyncflow._authoring import OpDefinition
from asyncflow._executor.execution import Execution
from asyncflow._executor.recording import unnamed
from asyncflow._plan import Plan, PlanNode
from asyncflow._store import Line, RunFilter, RunSession
from asyncflow.errors import ConfigurationError
from asyncflow.results import RunResult, RunStatus


def stored_run(resume_from: object) -> str | None:
    """Returns the id of the run to go on from, where its values are in a store."""
    if isinstance(resume_from, RunResult):
        past = resume_from.record
        return resume_from.run_id if isinstance(past, Execution) and past.past is not None else None
    return resume_from if isinstance(resume_from, str) else None


def same_store_run(resume_from: object, line: Line) -> str | None:
    """Returns the id of a run of this process that is gone on from by its result, where this store has its record."""
    if not isinstance(resume_from, RunResult) or not isinstance(resume_from.record, Execution):
        return None
    record = resume_from.record.run.record
    return resume_from.run_id if record is not None and line.has_store_of(record.line) else None


def stored_keys(
    graph: Any,  # noqa: ANN401 — a graph or op, whose classes this room does not know
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> tuple[Sequence[str], Mapping[str, OpDefinition]]:
    """Returns the keys whose values a part of a graph needs, and the ops by key, `fetch[]` for those of an `each`."""
    whole: Plan = (
        graph.select("*").plan(*args, **kwargs) if hasattr(graph, "select") else graph.wire(tuple(args), kwargs)
    )
    ops: dict[str, OpDefinition] = {}
    parts: list[Sequence[PlanNode]] = [whole.nodes]
    for nodes in parts:
        for node in nodes:
            if node.op is not None:
                ops.setdefault(unnamed(node.key), node.op)
            if node.fragment is not None:
                parts.append(node.fragment.nodes)
    if getattr(graph, "selection", ()) and (needed := graph.needed(*args, **kwargs)):
        return needed, ops
    return [key.removesuffix("[]") for key in ops], ops


@dataclass(frozen=True, slots=True)
class Question:
    """Asks for the value of an op, or for those of all items of an `each`, in order.

    Args:
        graph: The graph's name.
        deployment: The deployment's.
        run_id: The run; None for the newest that has it.
        key: The op, or the `each`.
        many: True for an `each`.
    """

    graph: str
    deployment: str
    run_id: str | None
    key: str
    many: bool

    def __call__(self, session: RunSession) -> list[str] | None:
        """Returns the values as JSON; None where they are not there.

        Raises:
            ConfigurationError: for items that have names of their own, whose order no record has.
        """
        run_id = self.run_id or session.latest(self.graph, self.deployment, self.key)
        if run_id is None:
            return None
        if not self.many:
            found = session.outputs(run_id, [self.key])
            return [found[self.key]] if self.key in found else None
        ended = session.runs(RunFilter(run_id=run_id, limit=1))
        if not ended or ended[0].status is not RunStatus.SUCCEEDED:
            return None  # some items may be missing
        items = session.outputs(run_id, [f"{self.key}[]"])
        names = {key[len(self.key) + 1 : -1]: text for key, text in items.items()}
        if not all(name.isdecimal() for name in names):
            raise ConfigurationError(
                f"the items of {self.key} have names of their own, and a record has no order of them; give the list"
                f" yourself: graph.given({{{self.key!r}: […]}})"
            )
        return [names[name] for name in sorted(names, key=int)] if names else None
