"""Telling events to whoever listens.

An observer is a plain function that gets every event. One that raises is isolated: the error is counted and logged
once, and after ten errors in a row it is no longer told. Events are built only while somebody listens, the log
included. A log that cannot be written to (a closed pipe, a processor that raises) is left alone after ten errors too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, TypeAlias

from asyncflow._observers import log
from asyncflow.events import Event

Observer: TypeAlias = Callable[[Event], None]

TOLERATED_ERRORS: Final = 10


class Observers:
    """The observers of one deployment.

    Attributes:
        runs: True while somebody wants the events of runs and limits.
        ops: True while somebody wants those of ops too, or an op of a live run has hooks.
    """

    __slots__ = ("_errors", "_hooked", "_log_errors", "_observers", "_writes", "ops", "runs")

    def __init__(self) -> None:
        self._observers: list[Observer] = []
        self._errors: dict[int, int] = {}
        self._log_errors = 0
        self._writes = logging.CRITICAL
        self._hooked = 0
        self.runs = False
        self.ops = False

    def look(self) -> None:
        """Asks the log anew which events it takes; called once for each run."""
        self._writes = log.enabled() if self._log_errors < TOLERATED_ERRORS else logging.CRITICAL
        self.runs = bool(self._observers) or self._writes <= logging.INFO
        self.ops = bool(self._observers) or self._writes <= logging.DEBUG or self._hooked > 0

    def serve_hooks(self, change: int) -> None:
        """So many more live executions, or fewer, have ops with hooks: these hear of ends where events do."""
        self._hooked += change
        self.look()

    def add(self, observer: Observer) -> None:
        """From now on `observer` is told every event."""
        self._observers.append(observer)
        self.look()

    def remove(self, observer: Observer) -> None:
        """From now on `observer` is told nothing. Unknown ones are ignored."""
        if observer in self._observers:
            self._observers.remove(observer)
            self._errors.pop(id(observer), None)
            self.look()

    def tell(self, event: Event) -> None:
        """Tells an event to all, and to the log where it takes it; what an observer raises stays here."""
        for observer in tuple(self._observers):
            try:
                observer(event)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # noqa: BLE001 — an observer must not break a run, whatever it raises
                self._failed(observer, error)
            else:
                if self._errors:
                    self._errors.pop(id(observer), None)
        if self._writes <= logging.INFO:
            self._write(log.write, event)

    def _failed(self, observer: Observer, error: BaseException) -> None:
        count = self._errors[id(observer)] = self._errors.get(id(observer), 0) + 1
        if count == 1:
            self._say("observer_failed", observer=repr(type(observer)), error=type(error).__name__)
        if count >= TOLERATED_ERRORS:
            self.remove(observer)
            self._say("observer_removed", observer=repr(type(observer)), errors=count)

    def warn(self, event: Event) -> None:
        """Tells an event, and writes it to the log as a warning."""
        writes, self._writes = self._writes, logging.CRITICAL  # written once, as a warning
        self.tell(event)
        self._writes = writes
        self._write(log.warn, event)

    def _say(self, said: str, **about: object) -> None:
        self._write(lambda _: log.log().warning(said, **about), None)

    def _write(self, write: Callable[[Event], None] | Callable[[None], None], event: Event | None) -> None:
        if self._log_errors >= TOLERATED_ERRORS:
            return
        try:
            write(event)  # type: ignore[arg-type]  # the one that takes None gets None
        except Exception:  # noqa: BLE001 — a log that cannot be written to must not break a run
            self._log_errors += 1
            if self._log_errors == TOLERATED_ERRORS:
                self.look()
        else:
            self._log_errors = 0
