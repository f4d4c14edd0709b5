"""Telling events to whoever listens.

An observer is a plain function that gets every event. One that raises is isolated: the error is counted and logged
once, and after ten errors in a row it is no longer told. Events are built only while somebody listens. Warnings go to
the log whether or not anybody does: structlog where it is configured, otherwise the stdlib logger `asyncflow`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Final, TypeAlias

from asyncflow.events import Event

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

Observer: TypeAlias = Callable[[Event], None]

TOLERATED_ERRORS: Final = 10


class Observers:
    """The observers of one deployment."""

    __slots__ = ("_errors", "_observers")

    def __init__(self) -> None:
        self._observers: list[Observer] = []
        self._errors: dict[int, int] = {}

    @property
    def listening(self) -> bool:
        """True while somebody listens."""
        return bool(self._observers)

    def add(self, observer: Observer) -> None:
        """From now on `observer` is told every event."""
        self._observers.append(observer)

    def remove(self, observer: Observer) -> None:
        """From now on `observer` is told nothing. Unknown ones are ignored."""
        if observer in self._observers:
            self._observers.remove(observer)
            self._errors.pop(id(observer), None)

    def tell(self, event: Event) -> None:
        """Tells an event to all; what an observer raises stays here."""
        for observer in tuple(self._observers):
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 — an observer must not break a run, whatever it raises
                self._failed(observer, error)
            else:
                self._errors.pop(id(observer), None)

    def _failed(self, observer: Observer, error: Exception) -> None:
        count = self._errors[id(observer)] = self._errors.get(id(observer), 0) + 1
        if count == 1:
            log().warning("observer_failed", observer=repr(type(observer)), error=type(error).__name__)
        if count >= TOLERATED_ERRORS:
            self.remove(observer)
            log().warning("observer_removed", observer=repr(type(observer)), errors=count)

    def warn(self, event: Event) -> None:
        """Tells an event, and writes it to the log as a warning."""
        self.tell(event)
        log().warning(type(event).__name__, **asdict(event))


def log() -> FilteringBoundLogger:
    """Returns the logger: structlog as configured, or structlog's event rendered into the stdlib logger `asyncflow`."""
    import structlog  # noqa: PLC0415 — 80 ms to import: loaded when first needed

    if structlog.is_configured():
        logger: FilteringBoundLogger = structlog.get_logger("asyncflow")
        return logger
    silent = logging.getLogger("asyncflow")
    if not silent.handlers:
        silent.addHandler(logging.NullHandler())  # where logging is not configured either, nothing prints unasked
    plain: FilteringBoundLogger = structlog.wrap_logger(
        silent,
        processors=[structlog.stdlib.add_log_level, structlog.processors.KeyValueRenderer(key_order=["event"])],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return plain
