"""Hooks: functions that are told how an op or a run went. Words only; `_executor/hooking.py` calls them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TypeAlias

from asyncflow.errors import ConfigurationError
from asyncflow.results import OpStatus, RunStatus


@dataclass(frozen=True, slots=True)
class HookInfo:
    """What a hook is told.

    Args:
        hook: Which one is called: `"on_success"`, `"on_failure"`, `"on_retry"` or `"on_cancel"`.
        run_id: The run.
        graph: The name of its graph or op.
        key: The op's key; None where it is about the run as a whole.
        status: How it ended; RETRYING (QUEUED for a run) before another attempt.
        attempt: Which attempt that was, from 1.
        errors: What the op raised, or the errors of the run, in their order.
        delay: Seconds until the next attempt, for `on_retry`.
        reason: Why the run was cancelled, where somebody said so.
        tags: The op's tags; for a run, the run's.
    """

    hook: str
    run_id: str
    graph: str
    key: str | None
    status: OpStatus | RunStatus
    attempt: int = 1
    errors: tuple[BaseException, ...] = ()
    delay: float | None = None
    reason: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def error(self) -> BaseException | None:
        """The first of the errors."""
        return self.errors[0] if self.errors else None


Hook: TypeAlias = "Callable[[HookInfo], Awaitable[object] | object]"
"""A plain function, called on the event loop (keep it short), or an `async def`."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """Functions that are called when an op, or a run, has ended or is tried again.

    On an op they are told of that op, on a graph of its runs, on a deployment of all its runs. They run beside
    everything else; a run ends after its hooks have. What a hook raises is an event, `HookFailed`; one that takes
    longer than the deployment's `cancel_grace` is cancelled. None of them changes a result.

    Args:
        on_success: It SUCCEEDED.
        on_failure: It FAILED, in its last attempt.
        on_retry: An attempt failed, and another one follows.
        on_cancel: It was CANCELED after it had started.

    Raises:
        ConfigurationError: for something that cannot be called.

    >>> Hooks(on_failure=lambda info: print(info.key, info.error))  # doctest: +ELLIPSIS
    Hooks(on_success=None, on_failure=<function ...>, on_retry=None, on_cancel=None)
    """

    on_success: Hook | None = None
    on_failure: Hook | None = None
    on_retry: Hook | None = None
    on_cancel: Hook | None = None

    def __post_init__(self) -> None:
        for one in fields(self):
            hook = getattr(self, one.name)
            if hook is not None and not callable(hook):
                raise ConfigurationError(
                    f"Hooks.{one.name} must be a function of one argument, not {type(hook).__name__}"
                )


def check_hooks(value: object, *, field: str = "hooks") -> Hooks | None:
    """Returns hooks, or None.

    Raises:
        ConfigurationError: for anything else.
    """
    if value is None or isinstance(value, Hooks):
        return value
    raise ConfigurationError(
        f"{field} must be Hooks, not {type(value).__name__}; write `{field}=Hooks(on_failure=tell)`"
    )
