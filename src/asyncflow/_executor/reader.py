"""What an op reads results from, one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from asyncflow._executor.side import side_of
from asyncflow.errors import ConfigurationError, StreamError

if TYPE_CHECKING:
    from asyncflow._executor.execution import Execution
    from asyncflow._executor.flow import Flow
    from asyncflow._limits import Claim
    from asyncflow._scheduler import Queue


class StreamReader(AsyncIterator[Any]):
    """Results of a stream in their order, as they come. Read by one op, in one task at a time.

    Raises:
        StreamError: where an item before the next result failed, or the source did; the op that lets it pass is
            ABANDONED.
        DeadlockError: where no release could ever let the op go on.
    """

    __slots__ = ("_flow", "_queue")

    def __init__(self, flow: Flow, queue: Queue) -> None:
        self._flow = flow
        self._queue = queue

    def __aiter__(self) -> StreamReader:
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401 — the user's value
        queue, flow = self._queue, self._flow
        while not queue.readable:
            frame = flow.frame
            if frame.claims[queue.reader] is None:
                raise ConfigurationError(
                    f"{frame.run.graph}/{frame.key(queue.reader)} has ended, and with it the stream that it was given:"
                    " only that op can read it, while it runs"
                )
            await side_of(frame, queue.reader).wait(
                flow, may=self._may_read, order=self._place, why="the next result of the stream"
            )
        if queue.results:
            value = queue.results.popleft()
            queue.taken += 1
            flow.look(but=queue.reader)
            return value
        if queue.broken is not None:
            key = queue.broken.key
            error = StreamError(f"a stream ended with the failure of {flow.frame.run.graph}/{key}", key)
            raise error from queue.broken.error
        raise StopAsyncIteration

    def _may_read(self) -> bool:
        return self._queue.readable

    def _place(self) -> tuple[float, ...]:
        return self._flow.place_of_reader(self._queue)

    def __repr__(self) -> str:
        return f"<stream of results, {self._queue.taken} read, {len(self._queue.results)} there>"


class ListReader(AsyncIterator[Any]):
    """Results that are all there, read one by one; an op that is tried again reads them from the start.

    Args:
        values: The results.
        frame: The execution in which the op that reads stands.
        reader: That op.
    """

    __slots__ = ("_claim", "_frame", "_next", "_reader", "_values")

    def __init__(self, values: Sequence[Any], frame: Execution, reader: int) -> None:
        self._values = values
        self._frame = frame
        self._reader = reader
        self._claim: Claim | None = None
        self._next = 0

    def __aiter__(self) -> ListReader:
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401 — the user's value
        claim = self._frame.claims[self._reader] if self._reader >= 0 else None
        if claim is not self._claim:
            self._claim, self._next = claim, 0
        if self._next == len(self._values):
            raise StopAsyncIteration
        self._next += 1
        return self._values[self._next - 1]

    def anew(self, frame: Execution) -> ListReader:
        """Returns a reader of the same results for the same op in an execution that resumes."""
        return ListReader(self._values, frame, self._reader)

    def __repr__(self) -> str:
        return f"<stream of {len(self._values)} results, {self._next} read>"
