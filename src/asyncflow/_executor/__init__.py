"""The executor: runs what the admission core admits, and gives back everything it took.

It has the tasks, the cancel scopes, the clock and the user's functions. It decides neither order nor capacity.
"""

from asyncflow._executor.current import CURRENT
from asyncflow._executor.ending import cancel, outlast, status_of, stop_execution, wait
from asyncflow._executor.engine import Engine
from asyncflow._executor.execution import Execution
from asyncflow._executor.harvest import result_of, value_of
from asyncflow._executor.run_state import RunState

__all__ = [
    "CURRENT",
    "Engine",
    "Execution",
    "RunState",
    "cancel",
    "outlast",
    "result_of",
    "status_of",
    "stop_execution",
    "value_of",
    "wait",
]
