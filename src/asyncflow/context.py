"""`context()`: an op asks about itself, in its body, on its thread, in its tasks, in its worker process."""

from __future__ import annotations

from asyncflow._executor import CURRENT
from asyncflow._workers import HERE
from asyncflow.errors import ConfigurationError
from asyncflow.op_context import OpContext
from asyncflow.worker_context import WorkerOpContext

__all__ = ["OpContext", "context"]


def context() -> OpContext:
    """Returns what the op that runs here can ask and tell about itself.

    Works in the body of an op, in the functions and tasks it starts, on its thread, and in its worker process.

    Raises:
        ConfigurationError: outside of ops, and once the op has ended.
    """
    claim = CURRENT.get()
    if claim is None:
        call = HERE.get()
        if call is not None:
            return WorkerOpContext(call)
        raise ConfigurationError(
            "context() was called outside of an op: it tells about the op whose body, task or thread it is called in"
        )
    return OpContext(claim)
