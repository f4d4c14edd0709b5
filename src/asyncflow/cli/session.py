"""One run from the command line, from an open deployment to its result."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio

from asyncflow.cli.interrupts import Interrupts
from asyncflow.cli.live import SHOW_CURSOR
from asyncflow.cli.terminal import message_of, shown
from asyncflow.cli.watch import View, Watch
from asyncflow.deployment import Branch, Deployment
from asyncflow.errors import AsyncflowError, ConfigurationError
from asyncflow.results import RunResult
from asyncflow.typed_doors import Runnable


@dataclass(frozen=True)
class Ended:
    """How a run from the command line ended.

    Args:
        result: What it left behind.
        caught: The signal that ended it, or None.
    """

    result: RunResult[Any]
    caught: int | None


async def carry_out(
    runnable: Runnable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    deployment: Deployment,
    view: View,
) -> Ended:
    """Runs an op or a graph in a deployment that it opens, until it has ended or was ended by a signal.

    Raises:
        ConfigurationError: where the body of the graph raised something that is not asyncflow's.
        AsyncflowError: what was refused before the run began, as every door raises it.
    """
    opened = deployment.parent if isinstance(deployment, Branch) else deployment
    async with opened:
        watch = Watch(view)
        deployment.subscribe(watch)
        scope = anyio.CancelScope()
        with Interrupts(scope.cancel, lambda: last_words(watch)) as interrupts:
            try:
                run = runnable.on(deployment).start(*args, **kwargs)
            except (AsyncflowError, KeyboardInterrupt, SystemExit):
                raise
            except Exception as error:
                raise ConfigurationError(
                    f"{runnable.name} could not be wired: {type(error).__name__}: {message_of(error)}"
                ) from error
            watch.follow(run)
            try:
                with scope:
                    return Ended(await run.result(), None)
                watch.say_canceling(f"{interrupts.reason}: canceling, once more abandons what still runs")
                await run.cancel(interrupts.reason)
                return Ended(await run.result(), interrupts.caught)
            finally:
                watch.close()


def last_words(watch: Watch) -> str:
    """Returns what is said of a run that is abandoned."""
    running = sorted(watch.tally.running)
    names = ", ".join(map(shown, running[:5])) + (f" and {len(running) - 5} more" if len(running) > 5 else "")
    left = f"; {len(running)} running: {names}" if running else ""
    back = f"{SHOW_CURSOR}\n" if os.isatty(2) else ""
    return f"{back}abandoned: nothing was waited for{left}\n"
