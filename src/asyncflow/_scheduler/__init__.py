"""The scheduler: the state of one plan while it runs, moved only through its transition table.

Synchronous and without a clock: told what ended, it says what became ready. It calls nobody's code; whatever needs a
user's function (steps, truth of a condition, items of a list) is handed to the executor.
"""

from asyncflow._scheduler.expansion import expand
from asyncflow._scheduler.frame import Fault, Frame
from asyncflow._scheduler.lane import Broken, Lane, Queue
from asyncflow._scheduler.late_graph import append_plan, give_result, result_of
from asyncflow._scheduler.resumption import is_kept, take_up
from asyncflow._scheduler.state import (
    ABANDONED,
    BLOCKED,
    CANCELED,
    FAILED,
    RETRYING,
    RUNNING,
    SKIPPED,
    STATUS,
    SUCCEEDED,
    WAITING,
    IllegalTransitionError,
)
from asyncflow._scheduler.takers import Takers, takers_of

__all__ = [
    "ABANDONED",
    "BLOCKED",
    "CANCELED",
    "FAILED",
    "RETRYING",
    "RUNNING",
    "SKIPPED",
    "STATUS",
    "SUCCEEDED",
    "WAITING",
    "Broken",
    "Fault",
    "Frame",
    "IllegalTransitionError",
    "Lane",
    "Queue",
    "Takers",
    "append_plan",
    "expand",
    "give_result",
    "is_kept",
    "result_of",
    "take_up",
    "takers_of",
]
