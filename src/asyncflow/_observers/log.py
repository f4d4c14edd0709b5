"""Events in the log: runs and limits at info, ops at debug, what somebody should look at as warnings.

structlog as the application configured it; where it did not, the stdlib logger `asyncflow`, so that nothing prints
unasked. Whether a level is enabled is asked before an event is built, once for each run.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from asyncflow.events import Event, OpBlocked, OpEnded, OpProgress, OpStarted, OpUnblocked, ResourceEvent

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

_STDLIB: Final = logging.getLogger("asyncflow")
_OF_OPS: Final = (OpBlocked, OpUnblocked, OpStarted, OpEnded, OpProgress, ResourceEvent)


def enabled() -> int:
    """Returns the lowest level at which a line would be written, as far as that can be known."""
    module = sys.modules.get("structlog")  # nobody can have configured what nobody imported
    if module is None or not module.is_configured():
        return _STDLIB.getEffectiveLevel()
    ask: Callable[[], int] | None = getattr(module.get_logger("asyncflow"), "get_effective_level", None)
    return logging.DEBUG if ask is None else ask()


def write(event: Event) -> None:
    """Writes an event at its level."""
    level = logging.DEBUG if isinstance(event, _OF_OPS) else logging.INFO
    log().log(level, type(event).__name__, **_told(event))


def warn(event: Event) -> None:
    """Writes an event as a warning."""
    log().warning(type(event).__name__, **_told(event))


def _told(event: Event) -> dict[str, Any]:
    told = {one.name: getattr(event, one.name) for one in fields(event)}
    return {name: value.value if isinstance(value, Enum) else value for name, value in told.items()}


def bound_context() -> dict[str, Any]:
    """Returns what structlog has bound in this context; nothing where nobody imported it."""
    module = sys.modules.get("structlog.contextvars")
    return {} if module is None else dict(module.get_contextvars())


def bind_context(bound: Mapping[str, Any]) -> None:
    """Binds in this context what `bound_context` returned elsewhere."""
    import structlog  # noqa: PLC0415 — 80 ms to import: only where somebody uses it

    structlog.contextvars.bind_contextvars(**bound)


def log() -> FilteringBoundLogger:
    """Returns the logger: structlog as configured, or structlog's event rendered into the stdlib logger `asyncflow`."""
    import structlog  # noqa: PLC0415 — 80 ms to import: loaded when first needed

    if structlog.is_configured():
        logger: FilteringBoundLogger = structlog.get_logger("asyncflow")
        return logger
    if not _STDLIB.handlers:
        _STDLIB.addHandler(logging.NullHandler())  # where logging is not configured either, nothing prints unasked
    plain: FilteringBoundLogger = structlog.wrap_logger(
        _STDLIB,
        processors=[structlog.stdlib.add_log_level, structlog.processors.KeyValueRenderer(key_order=["event"])],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return plain
