"""Shelves: the resources that the ops of one run, or all runs of a deployment, share.

Each resource has a task of its own, which opens it, holds it and closes it: what a provider enters around its `yield`
(a task group, a cancel scope) is bound to one task, and what goes wrong in one of them cancels no other. Who needs it
first starts the task, all others wait with it. An opening that nobody waits for any more is cancelled; one that failed
is forgotten once all who waited know, so the next one tries again.

A shelf is closed once, after the last op that could use it: openings are cancelled, then all is closed one by one, in
reverse order of opening. Whoever uses another resource opened it first, so it is closed before it. There is no task
for that: each end starts the next, so that nobody can cancel the closing itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from enum import Enum
from typing import TYPE_CHECKING, Any

from anyio import CancelScope

from asyncflow._executor.current import CURRENT
from asyncflow._executor.spawn import spawn
from asyncflow._executor.supply import Overrides, Supply, instance_of
from asyncflow.errors import ConfigurationError, ResourceError

if TYPE_CHECKING:
    from asyncflow._authoring import Resource
    from asyncflow._executor.engine import Engine
    from asyncflow._executor.run_state import RunState


class Stage(Enum):
    """Where a shared resource stands."""

    OPENING = "opening"
    OPEN = "open"
    LEAVING = "leaving"
    ENDED = "ended"


class Shelf:
    """The shared resources of one run, or of one deployment while it is open.

    Args:
        engine: Where they live.
        run: Whose they are; None for a deployment's.
        context: What their providers see as context variables.

    Attributes:
        closing: True once it is being closed.
        closed: True once all of it is closed.
        errors: What failed while it was closed.
        interrupt: A KeyboardInterrupt or SystemExit that came up there.
    """

    __slots__ = (
        "_context",
        "_entries",
        "_live",
        "_open",
        "_then",
        "closed",
        "closing",
        "engine",
        "errors",
        "interrupt",
        "run",
    )

    def __init__(self, engine: Engine, *, run: RunState | None, context: Context) -> None:
        self.engine = engine
        self.run = run
        self.closing = False
        self.closed = False
        self.errors: list[ResourceError] = []
        self.interrupt: BaseException | None = None
        self._context = context
        self._entries: dict[object, SharedResource] = {}
        self._live: dict[SharedResource, None] = {}
        self._open: list[SharedResource] = []
        self._then: Callable[[], None] | None = None

    async def take(self, resource: Resource, overrides: Overrides, key: str) -> Any:  # noqa: ANN401 — what the provider yields
        """Returns what the provider yields, after opening it where nobody did. Cancelled, it only stops waiting.

        Raises:
            ResourceError: where the provider fails, naming it.
        """
        instance = instance_of(resource, overrides)
        while True:
            entry = self._entries.get(instance)
            if entry is None:
                if self.closing:
                    raise ConfigurationError(f"{resource!r} is asked for while what it lives in is being closed")
                entry = self._entries[instance] = SharedResource(self, instance, resource, overrides)
                self._live[entry] = None
                context = self._context.copy()
                context.run(CURRENT.set, None)
                spawn(entry.live(), name=f"asyncflow resource {resource.name}", context=context)
            if entry.stage is not Stage.OPEN:
                await entry.changed(key)
            if entry.stage is Stage.OPEN:
                return entry.value

    def close(self, then: Callable[[], None]) -> None:
        """Closes everything, and calls `then` when all is closed; at once where nothing is open."""
        self.closing = True
        self._then = then
        for entry in tuple(self._live):
            if entry.stage is Stage.OPENING:
                entry.give_up()
        self._advance()

    def interrupt_all(self) -> None:
        """The patience with what is still opening or closing is over."""
        for entry in tuple(self._live):
            entry.supply.interrupt()

    def opened(self, entry: SharedResource) -> None:
        """A resource is open now."""
        self._open.append(entry)

    def broken(self, entry: SharedResource) -> None:
        """A resource that was open is being closed although nobody asked for that."""
        self._open.remove(entry)

    def ended(self, entry: SharedResource) -> None:
        """The task of a resource has closed it, or could not open it."""
        del self._live[entry]
        if self._entries.get(entry.instance) is entry:
            del self._entries[entry.instance]
        if self.closing:
            self._advance()

    def _advance(self) -> None:
        """Closes the last that was opened, once nothing else is on its way."""
        if self._open and len(self._open) == len(self._live):
            self._open.pop().leave()
        elif not self._live and not self.closed:
            self.closed = True
            if self._then is not None:
                self._then()

    def __repr__(self) -> str:
        return f"<shelf open={[entry.resource.name for entry in self._open]} closing={self.closing}>"


class SharedResource:
    """One shared resource and the task that has it.

    Args:
        shelf: Where it stands.
        instance: What tells it from others there.
        resource: What it is.
        overrides: What was put in the place of which provider when it was first needed.
    """

    __slots__ = (
        "_failure",
        "_given_up",
        "_leaving",
        "_stop",
        "_waiters",
        "instance",
        "resource",
        "shelf",
        "stage",
        "supply",
        "value",
    )

    def __init__(self, shelf: Shelf, instance: object, resource: Resource, overrides: Overrides) -> None:
        self.shelf = shelf
        self.instance = instance
        self.resource = resource
        self.stage = Stage.OPENING
        self.value: Any = None
        self.supply = Supply(
            shelf.engine, run=shelf.run, shelf=shelf, key="", overrides=overrides, cancelled=self.unneeded
        )
        self._stop: CancelScope | None = None
        self._given_up = False
        self._failure: BaseException | None = None
        self._leaving: asyncio.Future[None] = shelf.engine.loop.create_future()
        self._waiters: list[asyncio.Future[None]] = []

    async def changed(self, key: str) -> None:
        """Waits until it is open, or has ended. Whoever is the last to stop waiting gives it up.

        Raises:
            ResourceError: where it could not be opened.
        """
        if self.stage is not Stage.ENDED:
            waiter = self.shelf.engine.loop.create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except BaseException:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                    if not self._waiters and self.stage is Stage.OPENING:
                        self.give_up()
                raise
        failure = self._failure
        if isinstance(failure, ResourceError):  # one for each who waits: they raise it in different tasks
            raise ResourceError(f"{failure.message}; {key} needs it", failure.exceptions, failure.resources)
        if failure is not None:
            raise failure

    def give_up(self) -> None:
        """Nobody needs it any more: an opening that goes on is cancelled."""
        self._given_up = True
        if self._stop is not None:
            self._stop.cancel("nobody needs the resource any more")

    def unneeded(self) -> bool:
        """True once it was given up."""
        return self._given_up

    def leave(self) -> None:
        """It is to be closed."""
        self.stage = Stage.LEAVING
        if not self._leaving.done():
            self._leaving.set_result(None)

    async def live(self) -> None:
        """Opens it, holds it, closes it; all in one task."""
        try:
            with CancelScope() as self._stop:
                error: BaseException | None = None
                try:
                    await self._hold()
                except GeneratorExit:
                    raise
                except BaseException as raised:  # noqa: BLE001 — told to those who wait, and to the providers it uses
                    error = raised
                if self.stage is Stage.OPEN:  # its own task group was cancelled, or the loop is being shut down
                    self.stage = Stage.LEAVING
                    self.shelf.broken(self)
                elif self.stage is Stage.OPENING and error is not None:
                    self._failed(error)
                failures, interrupt = await self.supply.close(error)
                self.shelf.errors.extend(failures)
                self.shelf.interrupt = interrupt or self.shelf.interrupt
        finally:
            self.stage = Stage.ENDED
            self._wake()
            self.shelf.ended(self)

    async def _hold(self) -> None:
        """Opens it, and waits until it is to be closed."""
        if self.unneeded():
            return
        self.value = await self.supply.open(self.resource)
        if self.unneeded():  # it was cancelled, and its provider went on
            return
        self.stage = Stage.OPEN
        self.shelf.opened(self)
        self._wake()
        await self._leaving

    def _failed(self, error: BaseException) -> None:
        """It could not be opened; not worth telling where it was given up and cancelled."""
        if isinstance(error, asyncio.CancelledError) and self._given_up:
            return
        self._failure = error
        if not self._waiters and isinstance(error, (KeyboardInterrupt, SystemExit)):
            self.shelf.interrupt = error

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def __repr__(self) -> str:
        return f"<resource {self.resource.name} {self.stage.value}>"


async def close_shelf(shelf: Shelf) -> None:
    """Closes a shelf and waits for it. Whoever stops waiting by being cancelled goes when all is closed.

    After the grace that a cancelled run has, what still opens or closes is interrupted.
    """
    engine = shelf.engine
    ended = engine.loop.create_future()
    shelf.close(lambda: None if ended.done() else ended.set_result(None))
    interrupted: BaseException | None = None
    hurry: asyncio.TimerHandle | None = None
    with CancelScope() as scope:
        while not shelf.closed:
            try:
                await asyncio.shield(ended)
            except asyncio.CancelledError as error:  # a native cancel passes shields; it is raised when all is closed
                interrupted = error
                scope.shield = True
                hurry = hurry or engine.loop.call_later(engine.cancel_grace, shelf.interrupt_all)
    if hurry is not None:
        hurry.cancel()
    if interrupted is not None:
        raise interrupted


async def close_shelves(name: str, shelves: Sequence[Shelf]) -> None:
    """Closes shelves one after another, whatever happens.

    Raises:
        ResourceError: where some resources could not be closed.
    """
    interrupted: BaseException | None = None
    for shelf in reversed(shelves):
        try:
            await close_shelf(shelf)
        except BaseException as error:  # noqa: BLE001 — raised again when all are closed
            interrupted = error
    for shelf in shelves:
        interrupted = shelf.interrupt or interrupted
    if interrupted is not None:
        raise interrupted
    failures = [failure for shelf in shelves for failure in shelf.errors]
    if failures:
        names = [resource for failure in failures for resource in failure.resources]
        message = f"deployment {name!r} was closed, and resources of it failed: {', '.join(names)}"
        raise ResourceError(message, [one for failure in failures for one in failure.exceptions], names)
