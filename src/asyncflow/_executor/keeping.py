"""Keeping a run in a store: its executions tell every end of an op, with its value, before anybody behind it starts.

A value is turned into JSON right when the op ends, since whoever reads it next may change it. Writing is the store's
business, and the run's end is told only when its record is written, or given up.

Items of streams have no records: they are as many as one likes, and a stream is taken up from its source.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from asyncflow._authoring import NodeKind
from asyncflow._executor.ending import decided, settle
from asyncflow._executor.execution import Execution
from asyncflow._executor.outcome import node_failed
from asyncflow._executor.trial import attempt_of, told
from asyncflow._scheduler import ABANDONED, CANCELED, FAILED, RUNNING, SKIPPED, STATUS, SUCCEEDED
from asyncflow._store import Line, Mark, OpEntry, RunBegan, RunOver, is_reusable, output_of
from asyncflow.errors import RecordedFailure, ResultNotStorable
from asyncflow.ids import new_run_id

if TYPE_CHECKING:
    from asyncflow._executor.engine import Engine
    from asyncflow._executor.reusing import Past
    from asyncflow._executor.run_state import RunState

_LATER: Final = (ABANDONED, SKIPPED, CANCELED)
"""Ends that are told with the run's, unless they were told before: they follow from others."""


class RunRecorder:
    """What tells a store of one run.

    Args:
        line: The store.
        began: What is known of the run before it exists; it gets its id.
        past: The run it goes on from, where that is in the store.

    Attributes:
        maker: Names this very run among others of its id.
        offset: What makes a time of the calendar of one of the loop.
        marks: How the ops that it told of ended.
    """

    __slots__ = ("_asked", "_began", "_written", "line", "maker", "marks", "offset", "past")

    def __init__(self, line: Line, began: RunBegan, past: Past | None) -> None:
        self.line = line
        self.past = past
        self.maker = new_run_id()
        self.offset = time.time() - line.loop.time()
        self._began = began
        self.marks: dict[str, Mark] = {}
        self._asked = self._written = False

    def begin(self, run: RunState) -> None:
        """The run was submitted."""
        began = self._began
        self.line.put(
            RunBegan(
                run.id,
                run.graph,
                run.home.name,
                began.target,
                began.shape,
                began.keys,
                began.inputs,
                began.tags,
                run.options.priority,
                self.line.loop.time() + self.offset,
                began.resumed_from,
            )
        )

    def keep(self, frame: Execution, i: int, value: Any) -> Exception | None:  # noqa: ANN401 — the user's value
        """An op gave `value`. Returns why that cannot be kept, where it cannot."""
        op = frame.nodes[i].op
        output: str | None = None
        if op is not None and op.mode != "stream":
            try:
                output = output_of(op, value, f"{frame.run.graph}/{frame.key(i)}")
            except ResultNotStorable as error:
                return error
        self.tell(frame, i, SUCCEEDED, output=output)
        return None

    def tell(self, frame: Execution, i: int, status: int, *, error: str = "", output: str | None = None) -> None:
        """An op ended."""
        key = frame.key(i)
        started, offset = frame.started[i], self.offset
        ended = frame.ended[i]
        trial = frame.trials.get(i) if frame.trials else None
        if trial is not None and trial.first is not None:
            started = trial.first
        self.marks[key] = Mark(STATUS[status].value, error)
        self.line.put(
            OpEntry(
                frame.run.id,
                clean(key),
                STATUS[status].value,
                attempt_of(frame, i) if started is not None else 0,
                None if started is None else started + offset,
                (line_time(frame) if ended is None else ended) + offset,
                clean(error),
                frame.reasons.get(i),
                self.maker,
                output,
            )
        )

    def over(self, frame: Execution, engine: Engine) -> bool:
        """Returns whether the record of a run that has ended is written. Until it is, the run is settled again then."""
        if engine.broken or self._written:
            return True
        if not self._asked:
            self._asked = True
            self._end(frame, engine.clock())
            self._written = self.line.is_written()
            if not self._written:
                self.line.when_written(lambda: self._settle(engine, frame))
        return self._written

    def _settle(self, engine: Engine, frame: Execution) -> None:
        self._written = True
        settle(engine, frame)

    def _end(self, root: Execution, now: float) -> None:
        run = root.run
        frames: list[Execution] = [root]
        past = {} if root.past is None else root.past.marks
        known = {
            key for key, mark in past.items() if is_reusable(mark.status)
        }  # it stays, also where nothing led there
        for frame in frames:
            frames.extend(frame.descendants)
            for i, node in enumerate(frame.nodes):
                if node.kind is NodeKind.OP and frame.status[i] in _LATER:
                    key = frame.key(i)
                    if key not in self.marks and key not in known:
                        self.tell(frame, i, frame.status[i])
        errors = [told(error) for _, error in root.failed_ops()]
        overdue = [] if root.overdue is None else [told(root.overdue)]
        self.line.put(
            RunOver(
                run.id,
                decided(root).value,
                run.attempt,
                run.started_at + self.offset,
                now + self.offset,
                clean("; ".join([*overdue, *errors][:5])),
                None if run.reason is None else clean(run.reason),
            )
        )


class RecordedExecution(Execution):
    """An execution of a run that is kept in a store."""

    __slots__ = ()

    def succeed(self, i: int, value: object) -> None:
        """Node `i` gave `value`; of an op that ran it is kept, and where it cannot be, the op has failed."""
        record = self.run.record
        if record is not None and self.status[i] == RUNNING and self.nodes[i].op is not None:
            error = record.keep(self, i, value)
            if error is not None:
                ended = self.ended[i]
                node_failed(self.run.engine, self, i, error, self.run.engine.clock() if ended is None else ended)
                return
        super().succeed(i, value)

    def fail(self, i: int, error: BaseException) -> None:
        """Node `i` raised `error`."""
        if self.run.record is not None:
            text = str(error) if type(error) is RecordedFailure else told(error)
            self.run.record.tell(self, i, FAILED, error=text)
        super().fail(i, error)

    def skip(self, i: int) -> None:
        """Node `i` skipped itself, or a gate stayed closed."""
        if self.run.record is not None and self.nodes[i].op is not None and self.status[i] == RUNNING:
            self.run.record.tell(self, i, SKIPPED)
        super().skip(i)

    def cancel(self, i: int) -> None:
        """Node `i` was stopped, or will not start any more."""
        if self.run.record is not None and self.nodes[i].op is not None and self.status[i] == RUNNING:
            self.run.record.tell(self, i, CANCELED)
        super().cancel(i)


def kind_of(outer: Execution | None, run: RunState) -> type[Execution]:
    """Returns what an execution of a run is: one that is kept, unless it belongs to an item of a stream."""
    if run.record is None or (outer is not None and not isinstance(outer, RecordedExecution)):
        return Execution
    return RecordedExecution


def line_time(frame: Execution) -> float:
    """Returns the time on the run's loop."""
    return frame.run.engine.clock()


def clean(text: str) -> str:
    """Returns a text that SQLite keeps as it is: without NUL and halves of surrogate pairs."""
    if text.isprintable():
        return text
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
