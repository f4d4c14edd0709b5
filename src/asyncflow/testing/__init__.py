"""Public tools for tests of programs that use asyncflow.

Virtual time: `run_virtual(fn)` runs an async function on a loop whose clock jumps, `VIRTUAL_TIME` is the same as an
anyio backend, and the pytest fixture `virtual_time` gives it to one test. An hour of `sleep` takes no time, a program
in which nothing can ever run again raises `DeadlockError` with the names of its tasks, and `seed=` explores other
orders of the tasks that are ready together.
"""

from asyncflow.testing.backend import VIRTUAL_TIME, VirtualTime, run_virtual
from asyncflow.testing.loop import VirtualTimeLoop
from asyncflow.testing.peaks import peak

__all__ = ["VIRTUAL_TIME", "VirtualTime", "VirtualTimeLoop", "peak", "run_virtual"]
