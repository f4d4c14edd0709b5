"""Every error asyncflow raises itself, in one tree.

    AsyncflowError
    ├── ConfigurationError        a limit, an option or a decorator was given something it cannot mean
    ├── TracingError              a promise was used as if it were a value, or an op was called outside a graph
    ├── PlanError                 what was wired cannot be a plan: cycle, unbound input, types that disagree
    ├── InputError                a value does not fit the annotation of a parameter
    │   └── OutputError           what an op gave does not fit the annotation of its result
    ├── DemandError               an op asks for more than a limit can ever give
    ├── DeadlockError             no release, timer or reply could start this waiter
    ├── AdmissionError            the admission core was used against its rules (released twice, by another …)
    ├── RunFailed                 also an ExceptionGroup: the exceptions of the ops that failed
    ├── RunCanceled               the run was cancelled by somebody else than the awaiting caller
    ├── RunTimeout                the run took longer than its `timeout`
    ├── RunRejected               the run was refused before it started
    ├── OpTimeout                 one attempt of an op took longer than its `timeout`
    ├── OpSkipped                 the op that was run alone skipped itself
    ├── Skip                      raised by an op that has nothing to give: it is SKIPPED, and nothing has failed
    ├── StreamError               a stream that an op reads ended with a failure before it
    ├── SelfCancelled             an op raised CancelledError although nobody cancelled it
    ├── OpAborted                 an op raised something that is not an Exception
    ├── ResourceError             also an ExceptionGroup: what a provider raised while it opened or closed
    ├── StalledError              the run is idle, not complete, and nothing could change that: a defect of asyncflow
    ├── ResultNotStorable         what an op gives cannot be kept in the deployment's store
    ├── StoreUnavailable          the deployment's store could not be opened or read
    ├── RecordedFailure           stands for what an op raised in an earlier run, of which only the text is kept
    └── PoolBackendError
        ├── PoolBackendUnavailable  it did not answer, or not in time; what was asked may be asked again
        ├── LeaseLost               what an op held across processes is no longer its own
        ├── SessionLost             the backend does not know this process (any more)
        ├── SchemaMismatch          what is kept there is newer, older or damaged
        ├── BackendCorrupt          what is kept there cannot be read
        └── BadRequest              no backend would take this, or the server refuses it for good

A message says what happened, where (graph, op key, field), and what to do next. Exceptions of the user's ops cross
unchanged, alone or inside `RunFailed`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from asyncflow.results import RunResult


class AsyncflowError(Exception):
    """The root of asyncflow's own errors."""


class ConfigurationError(AsyncflowError):
    """A limit, an option or a decorator was given something it cannot mean."""


class TracingError(AsyncflowError):
    """A promise was used as if it were a value, or an op was called outside a graph."""


class PlanError(AsyncflowError):
    """What was wired cannot be a plan: a cycle, an unbound input, an unknown parameter, types that disagree."""


class InputError(AsyncflowError):
    """A value does not fit the annotation of a parameter. Names the place, never the value."""


class OutputError(InputError):
    """What an op gave does not fit the annotation of its result. Names the op, never the value."""


class TransferError(AsyncflowError):
    """Something cannot be sent to a worker process, or back. Names the op, what it is, and its type."""


class WorkerStartError(AsyncflowError):
    """A worker process could not be started, or could not import what the main module has."""


class WorkerDiedError(AsyncflowError):
    """A worker process ended before the function that it called. The op failed; nothing else did.

    Attributes:
        exit_code: As the system tells it: the number of the signal, negated, for a process that was killed.
    """

    def __init__(self, message: str, *, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class WorkerRaisedError(AsyncflowError):
    """Stands for an exception of a worker process that cannot be sent: says its type and text."""


class DemandError(AsyncflowError):
    """An op asks for more than a limit can ever give, so it could never start."""


class DeadlockError(AsyncflowError):
    """No release, timer or reply could start this waiter. `chain` tells who holds and who waits."""

    def __init__(self, message: str, *, chain: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.chain = tuple(chain)


class AdmissionError(AsyncflowError):
    """The admission core was used against its rules; nothing was changed."""


class RunFailed(AsyncflowError, ExceptionGroup[Exception]):
    """A run in which ops failed: the group of their own exceptions, in the order in which they failed.

    `except* ConnectionError` catches what one op raised. Every member carries a note with the op's key and its
    attempts. `result` is the whole `RunResult`.
    """

    result: RunResult[Any]

    def __new__(cls, message: str, exceptions: Sequence[Exception], result: RunResult[Any]) -> Self:
        """Builds the group; `exceptions` must not be empty."""
        del result
        return super().__new__(cls, message, exceptions)

    def __init__(self, message: str, exceptions: Sequence[Exception], result: RunResult[Any]) -> None:
        super().__init__(message, exceptions)
        self.result = result

    def derive(self, excs: Sequence[Exception]) -> RunFailed:  # type: ignore[override]  # narrower on purpose: parts stay RunFailed with the same result
        """Returns a part of this group (`except*`, `split`) that still knows the result."""
        return RunFailed(self.message, excs, self.result)


class RunCanceled(AsyncflowError):
    """The run was cancelled by somebody else than the awaiting caller. `reason` says why."""

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason


class RunTimeout(AsyncflowError):
    """The run took longer than its `timeout`."""


class RunRejected(AsyncflowError):
    """The run was refused before it started."""


class OpTimeout(AsyncflowError):
    """One attempt of an op took longer than its `timeout`."""


class StreamError(AsyncflowError):
    """A stream that an op reads ended with a failure: of an item before the next result, or of the source.

    Its cause is what failed. The op that lets it pass is ABANDONED, as one that takes the whole list would be.

    Attributes:
        key: The op that failed.
    """

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


class OpSkipped(AsyncflowError):
    """The op that was run alone skipped itself, so there is no value to give."""


class Skip(AsyncflowError):
    """Raised by an op, or a function given to `apply`: there is nothing to give. It is SKIPPED, which is no failure.

    What depends on it skips too; a list of which only a part was skipped goes on with the rest.

    Args:
        reason: Why, for the record.

    >>> raise Skip("no orders today")  # doctest: +SKIP
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class SelfCancelled(AsyncflowError):
    """An op raised CancelledError although nobody cancelled it. The original is the cause."""


class OpAborted(AsyncflowError):
    """An op raised a BaseException that is not an Exception and not an interrupt. The original is the cause."""


class ResourceError(AsyncflowError, ExceptionGroup[Exception]):
    """A resource could not be opened or closed: the group of what its provider raised, in order.

    `except* ConnectionError` catches what one provider raised. `resources` are the names of the providers.
    """

    resources: tuple[str, ...]

    def __new__(cls, message: str, exceptions: Sequence[Exception], resources: Sequence[str]) -> Self:
        """Builds the group; `exceptions` must not be empty."""
        del resources
        return super().__new__(cls, message, exceptions)

    def __init__(self, message: str, exceptions: Sequence[Exception], resources: Sequence[str]) -> None:
        super().__init__(message, exceptions)
        self.resources = tuple(resources)

    def derive(self, excs: Sequence[Exception]) -> ResourceError:  # type: ignore[override]  # narrower on purpose: parts still know the providers
        """Returns a part of this group (`except*`, `split`) that still knows the providers."""
        return ResourceError(self.message, excs, self.resources)


class StalledError(AsyncflowError):
    """A run is idle, not complete, and waits for nothing that could come: a defect of asyncflow, never silence."""


class ResultNotStorable(AsyncflowError):
    """What an op gives cannot be kept in the deployment's store and come back as it was.

    Raised by every door before a run begins where the annotation says so; where only the value does, the op fails.
    """


class StoreUnavailable(AsyncflowError):
    """The deployment's store could not be opened or read. What could not be written is an event, `StoreFailed`."""


class RecordedFailure(AsyncflowError):
    """Stands for what an op raised in an earlier run, of which a store keeps only the text."""


class PoolBackendError(AsyncflowError):
    """A pool backend could not do what was asked."""


class PoolBackendUnavailable(PoolBackendError):
    """The backend did not answer for longer than it may."""


class LeaseLost(PoolBackendError):
    """A lease ended while its op still ran, or while it waited in line.

    Attributes:
        pool: The pool.
        fence: What the lease was known by; 0 where there was none yet.
    """

    def __init__(self, message: str, *, pool: str = "", fence: int = 0) -> None:
        super().__init__(message)
        self.pool = pool
        self.fence = fence

    def __reduce__(self) -> tuple[Any, ...]:
        return (_lease_lost, (str(self), self.pool, self.fence))


class SessionLost(PoolBackendError):
    """The backend does not know this process (any more): what hung on its session is gone."""


class SchemaMismatch(PoolBackendError):
    """The backend's schema is newer, older or damaged."""


class BackendCorrupt(PoolBackendError):
    """What a backend keeps cannot be read. The message names where it is."""


class BadRequest(PoolBackendError):
    """No backend would take this, or the server refuses it for good: asking again does not help."""


def _lease_lost(message: str, pool: str, fence: int) -> LeaseLost:
    return LeaseLost(message, pool=pool, fence=fence)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns `"; did you mean 'x'?"` for the nearest known name, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
