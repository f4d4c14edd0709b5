"""Runners: where the functions of ops run, other than on threads and worker processes of asyncflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable


@dataclass(frozen=True, slots=True)
class OpCall:
    """One call of the function of an op: what to call, and for whom.

    Args:
        fn: The plain function.
        args: Its positional arguments.
        kwargs: Its other arguments.
        run_id: The run.
        graph: The graph of the run.
        key: The op.
        attempt: The attempt, counted from 1.
    """

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    run_id: str
    graph: str
    key: str
    attempt: int


@runtime_checkable
class OpRunner(Protocol):
    """Runs the functions of ops somewhere: `@op(runs_in=runner)` on a plain `def`.

    An op has everything it asks for while `run` is awaited, and gives it back when that ends. So `run` must not return
    before the function has ended, or cannot do anything any more. How many run at once is for limits to say: give the
    op a pool.
    """

    async def run(self, call: OpCall, /) -> Any:  # noqa: ANN401 — what the user's function returns
        """Calls `call.fn` and returns what it gave.

        Cancelled, it ends the function, or waits until it has ended, and lets `CancelledError` pass. What it raises is
        what the op failed with; retries and timeouts of the op are not its business.
        """
        ...


RunsIn: TypeAlias = "Literal['thread', 'process'] | OpRunner"
"""Where a plain function runs."""
