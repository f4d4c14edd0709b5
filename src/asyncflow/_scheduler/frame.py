"""A frame: one plan while it runs. Dense lists by node id; what ended is told in, what became ready comes out.

The idea is the dependency counter: every node knows how many of its predecessors have not ended; the one that brings
the count to zero makes it ready. A predecessor that ended otherwise than with success leaves a *doubt*, and a node in
doubt is decided only when all its predecessors have ended, so that the decision does not depend on their order:

- something it must start after, or a source, failed or was abandoned → ABANDONED, unless a source was skipped;
- a source was skipped (a list is skipped only where all in it are), or its gate closed → SKIPPED.

Values are dropped when their last reader has succeeded; what an op that did not succeed still needs is kept.
Rejected: deciding at the first failure (who is skipped and who abandoned would depend on timing), and one object per
node and run (dense lists are half the memory and a third of the time).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple

from asyncflow._authoring import NodeKind
from asyncflow._plan import MISSING, Plan, PlanNode, Scope
from asyncflow._scheduler.state import (
    ABANDONED,
    CANCELED,
    FAILED,
    FOLLOWS,
    RETRYING,
    RUNNING,
    SKIPPED,
    STATUS,
    SUCCEEDED,
    WAITING,
    IllegalTransitionError,
)
from asyncflow._scheduler.verdict import verdict_of
from asyncflow.results import Outcome

_OP: Final = NodeKind.OP
_INLINE: Final = frozenset(
    {NodeKind.STEP, NodeKind.GATE, NodeKind.MERGE, NodeKind.MAP, NodeKind.RESULT, NodeKind.STREAM}
)
_DROPPED: Final = object()


class Fault(NamedTuple):
    """An op that failed for an item of a stream, and so on behalf of a map."""

    map: int
    key: str
    error: BaseException
    ended: float


class Frame:
    """The state of one plan while it runs.

    `ready` gathers the ids of ops whose inputs are there, `inline` those of nodes the executor evaluates at once;
    the caller empties both. `left` counts nodes that have not ended. `kept` has those that succeeded in an earlier run,
    `faults` the ops that failed for items of streams, which have no nodes here.
    """

    __slots__ = (
        "blame",
        "closed",
        "collected",
        "doubts",
        "ended",
        "errors",
        "expanded",
        "extra",
        "failures",
        "faults",
        "inline",
        "kept",
        "left",
        "missing",
        "nodes",
        "plan",
        "readers",
        "ready",
        "ready_at",
        "scopes",
        "started",
        "status",
        "values",
    )

    def __init__(self, plan: Plan) -> None:
        count = len(plan.nodes)
        self.plan = plan
        self.nodes: Sequence[PlanNode] = plan.nodes
        self.scopes: list[Scope] = plan.scope_list
        self.missing = list(plan.missing)
        self.readers = list(plan.readers)
        self.values: list[Any] = [None] * count
        self.status = bytearray(count)
        self.ready_at: list[float | None] = [None] * count
        self.started: list[float | None] = [None] * count
        self.ended: list[float | None] = [None] * count
        self.left = count
        self.closed = False
        self.ready: list[int] = []
        self.inline: list[int] = []
        self.doubts: set[int] = set()
        self.errors: dict[int, BaseException] = {}
        self.blame: dict[int, int] = {}
        self.failures: list[int] = []
        self.faults: list[Fault] = []
        self.extra: dict[int, list[int]] = {}
        self.collected: dict[int, list[int]] = {}
        self.expanded: set[int] = set()
        self.kept: AbstractSet[int] = frozenset()

    def begin(self, inputs: Sequence[Any]) -> None:
        """Starts the frame: gives the inputs their values and finds the roots."""
        roots = self.plan.roots
        given = {node for _, node in self.plan.inputs}
        for i in roots:
            if i not in given:
                self.arrive(i)
        for (_, node), value in zip(self.plan.inputs, inputs, strict=True):
            self.succeed(node, value)

    # ── what ended ────────────────────────────────────────────────────────────────────────────────────────────────

    def succeed(self, i: int, value: object) -> None:
        """Node `i` gave `value`."""
        status = self.status
        if status[i] > RUNNING:
            self._refuse(i, SUCCEEDED)
        status[i] = SUCCEEDED
        self.left -= 1
        node = self.nodes[i]
        readers = self.readers
        values = self.values
        if readers[i]:
            values[i] = value
        for j in node.sources:
            readers[j] = count = readers[j] - 1
            if not count:
                values[j] = _DROPPED
        if self.closed:
            return
        missing = self.missing
        nodes = self.nodes
        doubts = self.doubts
        for j in node.successors:
            missing[j] = count = missing[j] - 1
            if not count:
                if nodes[j].kind is _OP and j not in doubts:
                    self.ready.append(j)
                else:
                    self.arrive(j)
        if self.extra and i in self.extra:
            self._tell(self.extra.pop(i))

    def fail(self, i: int, error: BaseException) -> None:
        """Node `i` raised `error`."""
        self.errors[i] = error
        self.failures.append(i)
        self._end(i, FAILED)

    def skip(self, i: int) -> None:
        """Node `i` skipped itself, or a gate stayed closed."""
        self.values[i] = MISSING
        self._end(i, SKIPPED)

    def cancel(self, i: int) -> None:
        """Node `i` was stopped, or will not start any more."""
        self._end(i, CANCELED, tell=False)

    def retry(self, i: int) -> None:
        """Node `i` raised, and will be started again."""
        if RETRYING not in FOLLOWS[self.status[i]]:
            self._refuse(i, RETRYING)
        self.status[i] = RETRYING

    def close(self) -> None:
        """Nothing new starts: every node that waits for inputs is cancelled, and ends are told to nobody any more."""
        if self.closed:
            return
        self.closed = True
        status = self.status
        i = status.find(WAITING)
        while i >= 0:
            self.cancel(i)
            i = status.find(WAITING, i + 1)
        for i in self.ready:
            if status[i] == WAITING:
                self.cancel(i)
        self.inline.clear()
        self.ready.clear()

    # ── propagation ───────────────────────────────────────────────────────────────────────────────────────────────

    def _refuse(self, i: int, status: int) -> None:
        raise IllegalTransitionError(
            f"{self.nodes[i].key} is {STATUS[self.status[i]].value} and cannot become {STATUS[status].value}"
        )

    def _end(self, i: int, status: int, *, tell: bool = True) -> None:
        """Ends a node without success, and all that thereby cannot run, without recursion."""
        pending = [(i, status)]
        while pending:
            i, status = pending.pop()
            if status not in FOLLOWS[self.status[i]]:
                self._refuse(i, status)
            self.status[i] = status
            self.left -= 1
            if not tell or self.closed:
                continue
            for j in self.followers(i):
                if self.status[j] > RETRYING:
                    continue  # what took items one by one may have ended before the rest
                self.missing[j] -= 1
                if not (i == self.nodes[j].items and j in self.expanded):
                    self.doubts.add(j)
                if not self.missing[j]:
                    verdict = verdict_of(self, j)
                    if verdict is None:
                        self.arrive(j, certain=True)
                    else:
                        pending.append((j, verdict))
                        if verdict == SKIPPED:
                            self.values[j] = MISSING

    def abandon(self, i: int, error: BaseException | None) -> None:
        """Node `i` cannot be had, because of something that has no node here."""
        if error is not None:
            self.errors[i] = error
            self.blame[i] = i
        self._end(i, ABANDONED)

    def waiters_of(self, i: int) -> Iterable[int]:
        """Returns the ids of all that wait for `i`, appended nodes included; nothing is changed."""
        extra = self.extra.get(i)
        return self.nodes[i].successors if extra is None else (*self.nodes[i].successors, *extra)

    def followers(self, i: int) -> Iterable[int]:
        """Returns the ids of all that wait for `i`, appended nodes included."""
        extra = self.extra.pop(i, None)
        return self.nodes[i].successors if extra is None else (*self.nodes[i].successors, *extra)

    def _tell(self, followers: Iterable[int]) -> None:
        for j in followers:
            self.missing[j] -= 1
            if not self.missing[j]:
                self.arrive(j)

    def arrive(self, i: int, *, certain: bool = False) -> None:
        """All predecessors of `i` have ended: it becomes ready, or ends right here."""
        if not certain and i in self.doubts:
            verdict = verdict_of(self, i)
            if verdict is not None:
                if verdict == SKIPPED:
                    self.values[i] = MISSING
                self._end(i, verdict)
                return
        kind = self.nodes[i].kind
        if kind is _OP or kind is NodeKind.BODY:
            self.ready.append(i)
        elif kind is NodeKind.COLLECT or (kind is NodeKind.MAP and i in self.expanded):
            self._collect(i)
        elif kind is NodeKind.OUTCOME:
            self.succeed(i, self._outcome(i))
        elif kind in _INLINE and self.status[i] == WAITING:
            self.inline.append(i)
        # INPUT, ITEM and CAPTURE nodes are given their values by others

    # ── inline nodes that need nobody's code ──────────────────────────────────────────────────────────────────────

    def _collect(self, i: int) -> None:
        """Gathers the items of an `each` in source order, leaving out the skipped ones."""
        node = self.nodes[i]
        sources = self.collected.pop(i, None)
        values = self.values
        value = None
        if self.readers[i]:
            value = [values[j] for j in (node.sources if sources is None else sources) if values[j] is not MISSING]
        if sources is not None:
            self.unread(sources)
        self.succeed(i, value)

    def _outcome(self, i: int) -> Outcome[Any]:
        """How a settled call ended: its own failures first, then the state of its result."""
        source = self.nodes[i].sources[0]
        errors = [self.errors[j] for j in self.failures if self.tolerated_by(j, i)]
        errors += [fault.error for fault in self.faults if self.tolerated_by(fault.map, i)]
        if errors:
            error = errors[0] if len(errors) == 1 else BaseExceptionGroup(f"{len(errors)} ops failed", errors)
            return Outcome(STATUS[FAILED], error=error)
        state = self.status[source]
        if state == SUCCEEDED:
            return Outcome(STATUS[SUCCEEDED], self.values[source])
        cause = self.blame.get(source)
        return Outcome(STATUS[state], error=None if cause is None else self.errors.get(cause))

    def tolerated_by(self, i: int, outcome: int) -> bool:
        """True where the failure of `i` belongs to the settled call `outcome`, however deep."""
        settled = self.nodes[i].settled
        while settled >= 0 and settled != outcome:
            settled = self.nodes[settled].settled
        return settled == outcome

    # ── growing ───────────────────────────────────────────────────────────────────────────────────────────────────

    def own_tables(self) -> None:
        """Gives the frame tables of its own before it grows for the first time; the plan's are shared."""
        if not isinstance(self.nodes, list):
            self.nodes = list(self.nodes)
            self.scopes = list(self.scopes)

    def append(self, node: PlanNode) -> int:
        """Adds a node that waits for nobody yet, and returns its id."""
        if not isinstance(self.nodes, list):
            raise IllegalTransitionError("a frame grows only after `own_tables`")
        self.nodes.append(node)
        self.missing.append(0)
        self.readers.append(node.readers)
        self.values.append(None)
        self.status.append(WAITING)
        self.ready_at.append(None)
        self.started.append(None)
        self.ended.append(None)
        self.left += 1
        return len(self.nodes) - 1

    def link(self, i: int, predecessors: Iterable[int]) -> None:
        """Makes `i` wait for those of the nodes that have not ended, and doubt those that ended without success."""
        for j in predecessors:
            state = self.status[j]
            if state < SUCCEEDED:
                self.extra.setdefault(j, []).append(i)
                self.missing[i] += 1
            elif state > SUCCEEDED:
                self.doubts.add(i)

    def collect_from(self, i: int, outputs: list[int]) -> None:
        """Map `i` has grown and now waits for the results of its items."""
        self.collected[i] = outputs
        self.expanded.add(i)
        self.link(i, outputs)

    def waiting_for(self, i: int) -> tuple[int, ...]:
        """Returns the maps that take their items from map `i` and have not grown yet."""
        followers = (*self.nodes[i].successors, *self.extra.get(i, ()))
        return tuple([j for j in followers if self.nodes[j].items == i and j not in self.expanded])

    def unread(self, sources: Iterable[int]) -> None:
        """One reader of each of these is done; a value without readers is dropped."""
        for j in sources:
            self.readers[j] -= 1
            if not self.readers[j]:
                self.values[j] = _DROPPED
