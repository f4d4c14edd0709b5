"""Trials: what is kept of an op that failed at least once and is tried again. Most ops have none.

An op that waits to be tried again is RETRYING: it holds nothing, has no claim, and is counted among the open ops of
its execution, so neither the end of the run nor the watchdog of runs that stand still can overlook it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from asyncflow.results import Attempt

if TYPE_CHECKING:
    from asyncflow._executor.execution import Execution
    from asyncflow._limits import Claim

KEPT: Final = 100
"""How many attempts are remembered, the last ones."""

TEXT: Final = 200


class Trial:
    """The earlier attempts of one op, and when the next one is due.

    Attributes:
        failed: How many attempts have failed.
        error: What the last one raised, until the next one starts.
        attempts: The last of them.
        waited: What all of them waited for, in nanoseconds.
        earlier: The claim of the last one, whose place in order the next one takes.
        first: When the first one started.
        timer: Runs during a delay.
        until: When the delay is over.
    """

    __slots__ = ("attempts", "earlier", "error", "failed", "first", "timer", "until", "waited")

    def __init__(self, earlier: Claim) -> None:
        self.earlier = earlier
        self.failed = 0
        self.error: BaseException | None = None
        self.first: float | None = None
        self.attempts: deque[Attempt] = deque(maxlen=KEPT)
        self.waited: dict[str, int] = {}
        self.timer: asyncio.TimerHandle | None = None
        self.until = 0.0

    def note(self, attempt: Attempt, waited: Mapping[str, int]) -> None:
        """Another attempt failed."""
        self.failed += 1
        self.attempts.append(attempt)
        self.add(waited)

    def add(self, waited: Mapping[str, int]) -> None:
        """Adds what an attempt waited for."""
        for name, nanoseconds in waited.items():
            self.waited[name] = self.waited.get(name, 0) + nanoseconds

    def stop(self) -> None:
        """There will be no next attempt."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def __repr__(self) -> str:
        return f"<trial failed={self.failed}>"


def stop_trials(frame: Execution, now: float) -> None:
    """No op of this execution is tried again: those that wait for it are cancelled."""
    for i, trial in frame.retrying():
        trial.stop()
        frame.open -= 1
        frame.ended[i] = now
        frame.cancel(i)
        if frame.hooking is not None:
            frame.hooking.op_ended(i)


def attempt_of(frame: Execution, i: int) -> int:
    """Returns the number of the attempt that runs or comes next, from 1."""
    trial = frame.trials.get(i)
    return 1 if trial is None else trial.failed + 1


def told(error: BaseException) -> str:
    """Returns an exception as a short text, whatever its `__str__` does."""
    name = type(error).__name__
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 — an exception of a user's class may raise anything when it is asked
        return name
    text = f"{name}: {text}" if text else name
    return text if len(text) <= TEXT else f"{text[: TEXT - 1]}…"
