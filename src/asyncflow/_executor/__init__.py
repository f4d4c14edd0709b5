"""The executor: runs what the admission core admits, and gives back everything it took.

It has the tasks, the cancel scopes, the clock and the user's functions. It decides neither order nor capacity.
"""

from asyncflow._executor.block import Block
from asyncflow._executor.current import CURRENT
from asyncflow._executor.deployment_state import DeploymentState
from asyncflow._executor.early_release import release_early
from asyncflow._executor.ending import cancel, finish_all, status_of, stop_execution, wait
from asyncflow._executor.engine import Engine
from asyncflow._executor.execution import Execution
from asyncflow._executor.harvest import result_of, value_of
from asyncflow._executor.identity import read_inputs, refuse_other, run_began, values_of
from asyncflow._executor.joining import SharedPools, join, orders_of, shared_pools
from asyncflow._executor.keeping import RunRecorder
from asyncflow._executor.limiter import PoolLimiter
from asyncflow._executor.overrides import put_instead
from asyncflow._executor.remote import Remote
from asyncflow._executor.remote_core import RemoteAdmission
from asyncflow._executor.reusing import Past
from asyncflow._executor.run_queue import THE_RUN
from asyncflow._executor.run_state import RunState
from asyncflow._executor.shelf import Shelf, close_shelf, close_shelves
from asyncflow._executor.stored import Question, same_store_run, stored_keys, stored_run
from asyncflow._executor.supply import NO_OVERRIDES, Overrides
from asyncflow._executor.telling import run_events
from asyncflow._executor.ticket import Ticket
from asyncflow._executor.trial import attempt_of
from asyncflow._executor.tuning import Redrawing, pause, set_priority, tell_unknown_pool, tune_run
from asyncflow._store import outlasted

__all__ = [
    "CURRENT",
    "NO_OVERRIDES",
    "THE_RUN",
    "Block",
    "DeploymentState",
    "Engine",
    "Execution",
    "Overrides",
    "Past",
    "PoolLimiter",
    "Question",
    "Redrawing",
    "Remote",
    "RemoteAdmission",
    "RunRecorder",
    "RunState",
    "SharedPools",
    "Shelf",
    "Ticket",
    "attempt_of",
    "cancel",
    "close_shelf",
    "close_shelves",
    "finish_all",
    "join",
    "orders_of",
    "outlasted",
    "pause",
    "put_instead",
    "read_inputs",
    "refuse_other",
    "release_early",
    "result_of",
    "run_began",
    "run_events",
    "same_store_run",
    "set_priority",
    "shared_pools",
    "status_of",
    "stop_execution",
    "stored_keys",
    "stored_run",
    "tell_unknown_pool",
    "tune_run",
    "value_of",
    "values_of",
    "wait",
]
