"""One resource in the hands of the task that opened it: a provider's generator from its first step to its last.

The generator may stand inside a cancel scope or a task group of its own while it is suspended at its `yield`. Both are
bound to a task and nest, so one task opens a resource, holds it and closes it, in reverse order of opening; a scope of
ours, the guard, lies around each generator for the same reason, and not around a step.

What a cancellation does: while it opens, the provider gets one `CancelledError`, and may await what it needs to clean
up; the guard keeps further ones away, which a cancelled anyio scope would deliver at each await. Closing is always
guarded. `interrupt` ends the patience: it cancels the guard itself.
"""

from __future__ import annotations

import math
import types
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from anyio import CancelScope, current_effective_deadline, get_cancelled_exc_class

from asyncflow._executor.spawn import current_task
from asyncflow.errors import ConfigurationError

if TYPE_CHECKING:
    from asyncflow._authoring import Resource

T = TypeVar("T")


class OpenResource:
    """A resource from the first step of its provider to the last, all of them in one task.

    Args:
        resource: What is opened: its provider, or the one that stands in for it.
        scope: How long it is to be open.
    """

    __slots__ = ("_generator", "_guard", "name", "scope", "value")

    _generator: AsyncGenerator[Any, None]

    def __init__(self, resource: Resource, scope: str) -> None:
        self.name = resource.name
        self.scope = scope
        self.value: Any = None
        self._guard = CancelScope()

    async def open(
        self,
        provider: Callable[..., AsyncIterator[Any]],
        given: Mapping[str, Any],
        *,
        cancelled: Callable[[], bool],
    ) -> None:
        """Runs the provider up to its `yield`. Cancelled, it lets the provider clean up first.

        Args:
            provider: The async generator function.
            given: The resources it uses itself.
            cancelled: Tells whether a cancellation that arrives was meant for the whole op or resource, and is not
                the provider's own timeout.

        Raises:
            ConfigurationError: where it ends without a `yield`.
            TimeoutError: where it was interrupted.
        """

        def spare() -> None:
            if cancelled():
                self._guard.shield = True

        self._guard.__enter__()
        try:
            self._generator = cast("AsyncGenerator[Any, None]", provider(**given))
            self.value = await _steered(self._generator.__anext__(), spare)
        except GeneratorExit:
            raise
        except BaseException as error:
            guard = self._guard
            caught = guard.__exit__(type(error), error, error.__traceback__)
            if caught or (guard.cancel_called and isinstance(error, get_cancelled_exc_class())):
                raise TimeoutError(
                    f"provider {self.name} was interrupted: it went on opening after it was cancelled"
                ) from None
            if isinstance(error, StopAsyncIteration):
                raise ConfigurationError(
                    f"provider {self.name} ended without a `yield`: it must yield the resource once, on every way"
                ) from None
            raise
        self._guard.shield = False

    async def close(self, error: BaseException | None) -> BaseException | None:
        """Lets the provider run to its end; cancellation waits until it has.

        Args:
            error: What ended the use of the resource; it is raised at the `yield`. None where all went well.

        Returns:
            What the provider raised of its own; None where it did not, or only let `error` pass.
        """
        guard = self._guard
        guard.shield = True
        raised = await self._finish(error)
        if _passed_on(raised, error) and not guard.cancel_called:
            raised = None
        try:
            caught = guard.__exit__(None if raised is None else type(raised), raised, None)
        except GeneratorExit:
            raise
        except BaseException as unfit:  # noqa: BLE001 — a scope left open inside of this one; or what is left of a group
            return unfit
        if caught or (guard.cancel_called and isinstance(raised, get_cancelled_exc_class())):
            return TimeoutError(f"provider {self.name} was interrupted: it went on closing after it was cancelled")
        return raised

    async def _finish(self, error: BaseException | None) -> BaseException | None:
        """Makes the last step and returns what was raised."""
        generator = self._generator
        trace = None if error is None else error.__traceback__
        try:
            if error is None:
                await generator.__anext__()
            else:
                await generator.athrow(error)
        except StopAsyncIteration:
            return None
        except GeneratorExit:
            raise
        except BaseException as raised:  # noqa: BLE001 — told by the caller
            return raised
        finally:
            if error is not None:
                error.__traceback__ = trace  # without the provider's frames, which did not raise it
        try:
            await generator.aclose()
        except GeneratorExit:
            raise
        except BaseException as raised:  # noqa: BLE001 — told by the caller
            return raised
        return ConfigurationError(
            f"provider {self.name} yields more than once: it must end after its first `yield`"
            + ("" if error is None else ", also where an exception is raised there")
        )

    def interrupt(self) -> None:
        """Cancels the step that the provider makes now, however it is guarded."""
        self._guard.cancel("the grace of a cancelled run is over")

    def __repr__(self) -> str:
        return f"<resource {self.name} scope={self.scope}>"


def _passed_on(raised: BaseException | None, error: BaseException | None) -> bool:
    """True where a provider raised nothing of its own: what was thrown in came out, or Python's wrapping of it."""
    if raised is error:
        return True
    if isinstance(raised, RuntimeError) and isinstance(error, (StopIteration, StopAsyncIteration)):
        return raised.__cause__ is error
    cancelled = get_cancelled_exc_class()
    return isinstance(raised, cancelled) and isinstance(error, cancelled)


def being_cancelled() -> bool:
    """True where a scope around here, or the task itself, is being cancelled."""
    return current_effective_deadline() == -math.inf or current_task().cancelling() > 0


@types.coroutine
def _steered(step: Awaitable[T], told: Callable[[], None]) -> Generator[Any, Any, T]:
    """Drives a step to its end and gives its value; `told` is called before anything is thrown in."""
    inner = step.__await__()
    try:
        waiting_for = inner.send(None)
        while True:
            try:
                sent = yield waiting_for
            except GeneratorExit:
                inner.close()
                raise
            except BaseException as error:  # noqa: BLE001 — whatever is thrown in belongs to the provider
                told()
                waiting_for = inner.throw(error)
            else:
                waiting_for = inner.send(sent)
    except StopIteration as stop:
        value: T = stop.value
        return value
