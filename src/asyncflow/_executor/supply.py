"""Supplying: what one task opens for one op, or for one shared resource, and closes again in reverse order.

Resources of scope `op` are opened right here, those of a wider scope are asked of the shelf that has them. A provider
that fails does so for whoever needed it, as a `ResourceError` that names it; nothing is remembered of a failure, so
that the next one who needs it tries again. What fails while it closes is recorded and told, and changes no status: the
value is there, and a resource that ends badly does not take it back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from asyncflow._executor.outcome import as_failure
from asyncflow._executor.provider import OpenResource, being_cancelled
from asyncflow.errors import ConfigurationError, ResourceError
from asyncflow.events import ResourceClosed, ResourceFailed, ResourceOpened, StuckResource

if TYPE_CHECKING:
    from asyncflow._authoring import Resource
    from asyncflow._executor.engine import Engine
    from asyncflow._executor.run_state import RunState
    from asyncflow._executor.shelf import Shelf

Overrides: TypeAlias = "Mapping[object, Resource]"
"""What is put in the place of which provider."""

NO_OVERRIDES: Overrides = {}


class Supply:
    """The resources of one op, or of one shared resource.

    Args:
        engine: Where they live.
        run: Whose they are; None for a deployment's own.
        shelf: Where a shared resource stands; None for an op's.
        key: The op they are for.
        overrides: What is put in the place of which provider.
        cancelled: Tells whether the op, or the shared resource, is being cancelled.
    """

    __slots__ = ("_active", "_cancelled", "_engine", "_key", "_opened", "_overrides", "_run", "_shelf")

    def __init__(
        self,
        engine: Engine,
        *,
        run: RunState | None,
        shelf: Shelf | None,
        key: str,
        overrides: Overrides,
        cancelled: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._run = run
        self._shelf = shelf
        self._key = key
        self._overrides = overrides
        self._cancelled = cancelled
        self._opened: dict[object, OpenResource] = {}
        self._active: OpenResource | None = None

    async def take(self, resource: Resource) -> Any:  # noqa: ANN401 — what the provider yields
        """Returns what stands for `resource`, after opening it where that is needed.

        Raises:
            ResourceError: where a provider fails, naming it.
        """
        if resource.scope == "op":
            return await self.open(resource)
        return await self._shelf_of(resource).take(resource, self._overrides, self._key)

    async def open(self, resource: Resource) -> Any:  # noqa: ANN401 — what the provider yields
        """Opens a resource in this task, those that it uses first; once for all who need it here.

        Raises:
            ResourceError: where a provider fails, naming it.
        """
        actual = self._overrides.get(resource.provider, resource)
        known = self._opened.get(actual.provider)
        if known is not None:
            return known.value
        given = {name: await self.take(need) for name, need in actual.needs}
        began = self._engine.clock()
        opened = self._active = OpenResource(actual, resource.scope)
        try:
            await opened.open(actual.provider, given, cancelled=self._cancelled)
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and being_cancelled():
                raise
            self._tell_failure(opened, "open", error)
            raise refusal("open", opened, error, self._key) from None
        finally:
            self._active = None
        self._opened[actual.provider] = opened
        if self._engine.observers.ops:
            now = self._engine.clock()
            self._engine.observers.tell(ResourceOpened(now, *self._place(opened), now - began))
        return opened.value

    async def close(self, error: BaseException | None) -> tuple[list[ResourceError], BaseException | None]:
        """Closes what was opened here, in reverse order, all of it whatever happens.

        Args:
            error: What ended the use; every provider gets it at its `yield`.

        Returns:
            What failed, and an interrupt where there was one.
        """
        failures: list[ResourceError] = []
        interrupt: BaseException | None = None
        while self._opened:
            _, opened = self._opened.popitem()
            self._active = opened
            raised = await opened.close(error)
            self._active = None
            if isinstance(raised, (KeyboardInterrupt, SystemExit)):
                interrupt = raised
            elif raised is not None:
                self._tell_failure(opened, "close", raised)
                failures.append(refusal("close", opened, raised, self._key))
            elif self._engine.observers.ops:
                self._engine.observers.tell(ResourceClosed(self._engine.clock(), *self._place(opened)))
        return failures, interrupt

    @property
    def holds_any(self) -> bool:
        """True while something that was opened here is open."""
        return bool(self._opened)

    def interrupt(self) -> None:
        """The patience with a provider that is cancelled, or closes in a cancelled run, is over."""
        opened = self._active
        if opened is not None:
            engine = self._engine
            engine.observers.warn(StuckResource(engine.clock(), *self._place(opened), engine.cancel_grace))
            opened.interrupt()

    def _shelf_of(self, resource: Resource) -> Shelf:
        run = self._run
        if resource.scope == "deployment":
            shared = self._shelf if run is None else run.shared
            if shared is not None:
                return shared
        if run is None:
            raise ConfigurationError(
                f"a resource of a deployment cannot use {resource!r}, which is closed with its run; give"
                f" {resource.name} the scope 'deployment', or 'op' for one of its own"
            )
        return run.own_shelf()

    def _place(self, opened: OpenResource) -> tuple[str, str, str, str, str]:
        run = self._run
        return ("" if run is None else run.id, "" if run is None else run.graph, opened.name, opened.scope, self._key)

    def _tell_failure(self, opened: OpenResource, phase: str, error: BaseException) -> None:
        event = ResourceFailed(self._engine.clock(), *self._place(opened), phase, type(error).__name__)
        self._engine.observers.warn(event)


def refusal(phase: str, opened: OpenResource, error: BaseException, key: str) -> ResourceError:
    """Returns the error that names a provider and has what it raised."""
    whom = f" for {key}" if key else ""
    message = (
        f"provider {opened.name} could not {phase} its resource{whom} (scope {opened.scope!r}): {type(error).__name__}"
    )
    return ResourceError(message, [as_failure(f"provider {opened.name}", error)], [opened.name])


def instance_of(resource: Resource, overrides: Overrides) -> object:
    """Returns what tells one shared instance of a resource from others: its provider, and what stands in for whom.

    A resource that was opened while something it uses was overridden is another one than without.
    """
    if not overrides:
        return resource.scope, resource.provider
    actual = overrides.get(resource.provider, resource)
    touched: set[Resource] = set()
    todo = [resource]
    while todo:
        one = todo.pop()
        instead = overrides.get(one.provider)
        if instead is not None:
            touched.add(instead)
        todo.extend([need for _, need in (instead or one).needs])
    return resource.scope, actual.provider, frozenset(touched)
