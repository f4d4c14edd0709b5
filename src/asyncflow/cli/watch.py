"""Watching one run: its events are counted as they come, and shown now and then.

The observer is called on the event loop for every event, so it only counts. A timer of the loop lets a view show the
counts; nothing runs beside the loop, so nothing is ever shown half counted.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from asyncflow.cli.tally import Tally
from asyncflow.events import Event, RunEvent
from asyncflow.run import Run


class View(Protocol):
    """Shows a tally."""

    def pause(self, seconds: float) -> float:
        """Returns in how many seconds it wants to be asked again, so many seconds after the start."""
        ...

    def show(self, tally: Tally, seconds: float) -> None:
        """Shows where a run stands, so many seconds after the start."""
        ...

    def close(self, tally: Tally, seconds: float) -> None:
        """Shows the last state, and leaves the terminal as it was."""
        ...


class Hidden:
    """The view that shows nothing."""

    def pause(self, seconds: float) -> float:  # noqa: ARG002 — as every view
        """Returns a minute: there is nothing to show then either."""
        return 60.0

    def show(self, tally: Tally, seconds: float) -> None:
        """Shows nothing."""

    def close(self, tally: Tally, seconds: float) -> None:
        """Shows nothing."""


class Watch:
    """Watches one run.

    Args:
        view: What shows it.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._run_id = ""
        self._early: list[Event] = []
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self.tally = Tally("")

    def __call__(self, event: Event) -> None:
        """Takes an event of the deployment."""
        if not self._run_id:
            self._early.append(event)  # told while the run was being started, before it had an id for us
        elif not isinstance(event, RunEvent) or event.run_id == self._run_id:
            self.tally.take(event)

    def follow(self, run: Run[Any]) -> None:
        """From now on shows this run; what was told of it before counts."""
        self._run_id = run.id
        self.tally = Tally.of(run.plan)
        early, self._early = self._early, []
        for event in early:
            self(event)
        self._timer = self._loop.call_later(self._view.pause(0.0), self._tick)

    def say_canceling(self, why: str) -> None:
        """Shows at once that the run is being ended."""
        self.tally.canceling = why
        self._view.show(self.tally, self.seconds)

    @property
    def seconds(self) -> float:
        """How long it has been watching."""
        return self._loop.time() - self._began

    def close(self) -> None:
        """Shows the last state and stops."""
        if self._timer is not None:
            self._timer.cancel()
        self._view.close(self.tally, self.seconds)

    def _tick(self) -> None:
        self._view.show(self.tally, self.seconds)
        self._timer = self._loop.call_later(self._view.pause(self.seconds), self._tick)
