"""Virtual time as anyio knows it: a backend, and a call that runs one function on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Self, TypeVar, TypeVarTuple

import anyio

from asyncflow.testing.loop import VirtualTimeLoop

R = TypeVar("R")
Args = TypeVarTuple("Args")


class VirtualTime(tuple[str, dict[str, Any]]):
    """Virtual time as an anyio backend: the pair `("asyncio", options)` that `anyio_backend` fixtures return.

    Args:
        seed: Shuffles the tasks that are ready together, the same way for the same seed. None keeps asyncio's order.
    """

    __slots__ = ()

    def __new__(cls, seed: int | None = None) -> Self:
        """Makes the backend."""
        return super().__new__(cls, ("asyncio", {"loop_factory": partial(VirtualTimeLoop, seed=seed)}))

    def __repr__(self) -> str:
        return f"VirtualTime(seed={self.seed})"

    @property
    def seed(self) -> int | None:
        """The seed of the order of tasks."""
        seed: int | None = self[1]["loop_factory"].keywords["seed"]
        return seed

    @property
    def now(self) -> float:
        """The virtual seconds since the running loop was made."""
        return anyio.current_time()

    def run(self, fn: Callable[[*Args], Awaitable[R]], *args: *Args) -> R:
        """Runs `fn(*args)` on a new loop and returns its value; see `run_virtual`."""
        return run_virtual(fn, *args, seed=self.seed)


VIRTUAL_TIME: Final = VirtualTime()
"""Virtual time in asyncio's own order of tasks."""


def run_virtual(fn: Callable[[*Args], Awaitable[R]], *args: *Args, seed: int | None = None, debug: bool = False) -> R:
    """Runs an async function in virtual time and returns its value.

    Args:
        fn: Called with `args`, on a new loop whose time starts at 0.
        args: Its arguments.
        seed: Shuffles the tasks that are ready together, the same way for the same seed. None keeps asyncio's order.
        debug: asyncio's debug mode.

    Raises:
        DeadlockError: Nothing can ever run again.

    What `fn` raises comes out as it is, with a note that names the seed.

    >>> async def nap(hours: float) -> float:
    ...     await anyio.sleep(3600 * hours)
    ...     return anyio.current_time()
    >>> run_virtual(nap, 8)
    28800.0
    """
    options = {"loop_factory": partial(VirtualTimeLoop, seed=seed), "debug": debug}
    try:
        return anyio.run(fn, *args, backend_options=options)
    except Exception as error:
        if seed is not None:
            error.add_note(f"virtual time: seed={seed} gives this order of tasks again")
        raise
