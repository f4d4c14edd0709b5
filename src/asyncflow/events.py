"""What happens, as frozen data in the past tense. Built only while somebody listens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asyncflow.results import OpStatus, RunStatus


@dataclass(frozen=True, slots=True)
class Event:
    """The root of all events. `at` is the loop's clock in seconds."""

    at: float


@dataclass(frozen=True, slots=True)
class RunEvent(Event):
    """Something about one run."""

    run_id: str
    graph: str


@dataclass(frozen=True, slots=True)
class RunQueued(RunEvent):
    """A run could not begin at once and waits in the queue."""

    priority: int


@dataclass(frozen=True, slots=True)
class RunBlocked(RunEvent):
    """A queued run was not admitted: said once, and again when another limit became short, or limits changed.

    `limits` are those that are short (none: not its turn).
    """

    limits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunReprioritised(RunEvent):
    """A run has another priority."""

    priority: int


@dataclass(frozen=True, slots=True)
class RunStarted(RunEvent):
    """A run was admitted."""


@dataclass(frozen=True, slots=True)
class RunRetried(RunEvent):
    """An attempt of a run failed; after so many seconds it is queued again. `errors` are the exceptions' classes."""

    attempt: int
    delay: float
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunEnded(RunEvent):
    """A run reached its terminal status."""

    status: RunStatus


@dataclass(frozen=True, slots=True)
class OpBlocked(RunEvent):
    """An op is ready and was not admitted: said once, and again when another limit became short, or limits changed.

    `limits` are those that are short (none: not its turn).
    """

    key: str
    limits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OpUnblocked(RunEvent):
    """An op that had been blocked was admitted, after so many seconds."""

    key: str
    seconds: float


@dataclass(frozen=True, slots=True)
class OpStarted(RunEvent):
    """The body of an op started."""

    key: str
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class OpRetried(RunEvent):
    """An attempt of an op failed, and another one follows after so many seconds. `error` is the exception's class."""

    key: str
    attempt: int
    delay: float
    error: str


@dataclass(frozen=True, slots=True)
class OpEnded(RunEvent):
    """An op reached its terminal status."""

    key: str
    status: OpStatus


@dataclass(frozen=True, slots=True)
class OpProgress(RunEvent):
    """An op told how far it is: `context().progress(done, total)`."""

    key: str
    done: float
    total: float | None


@dataclass(frozen=True, slots=True)
class OpEmitted(RunEvent):
    """An op told something of its own: `context().emit(kind, **data)`."""

    key: str
    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HookFailed(RunEvent):
    """A hook raised, or took too long. Nothing else is changed by it. `key` is None for a hook of the run."""

    key: str | None
    hook: str
    error: str


@dataclass(frozen=True, slots=True)
class StuckOp(RunEvent):
    """An op was cancelled and still runs after `cancel_grace` seconds; what it holds stays counted."""

    key: str
    seconds: float
    stack: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ResourceEvent(RunEvent):
    """Something about a resource. Of a deployment's own, `run_id` and `graph` are empty; `key` is the op it is for."""

    resource: str
    scope: str
    key: str


@dataclass(frozen=True, slots=True)
class ResourceOpened(ResourceEvent):
    """A provider has opened a resource, in so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ResourceClosed(ResourceEvent):
    """A provider has closed a resource."""


@dataclass(frozen=True, slots=True)
class ResourceFailed(ResourceEvent):
    """A provider could not open (`phase` is `"open"`) or close (`"close"`) a resource. `error` is the class raised."""

    phase: str
    error: str


@dataclass(frozen=True, slots=True)
class StuckResource(ResourceEvent):
    """A provider has not stopped opening or closing `cancel_grace` seconds after a cancellation; it is interrupted."""

    seconds: float


@dataclass(frozen=True, slots=True)
class LimitChanged(Event):
    """A limit has another capacity. None is unlimited."""

    limit: str
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class LimitPaused(Event):
    """Nothing starts on a limit until it is resumed."""

    limit: str


@dataclass(frozen=True, slots=True)
class LimitResumed(Event):
    """A limit that was paused goes on."""

    limit: str


@dataclass(frozen=True, slots=True)
class NeverFits(RunEvent):
    """Under new limits an op, or with an empty `key` its run, asks for more than a limit can ever give: it waits."""

    key: str
    limit: str


@dataclass(frozen=True, slots=True)
class PoolUnlimited(Event):
    """An op named a pool that has no limit (said once per pool). `message` names the most similar limited one."""

    pool: str
    message: str


@dataclass(frozen=True, slots=True)
class PoolUnknown(Event):
    """`tune` named a pool that nobody has used. `message` names the most similar known one."""

    pool: str
    message: str


@dataclass(frozen=True, slots=True)
class StoreFailed(Event):
    """Records of runs could not be written to the store, or not be used. Runs go on.

    `waiting` records are tried again within a second; `lost` ones are not: resuming runs these ops again.
    """

    store: str
    error: str
    waiting: int
    lost: int


@dataclass(frozen=True, slots=True)
class EventsDropped(Event):
    """A reader of `events()` was too slow: so many of the oldest events were dropped before the next one."""

    count: int


@dataclass(frozen=True, slots=True)
class PoolBackendAway(Event):
    """The pool backend does not answer. What runs goes on as long as its lease lasts; what waits, waits."""

    backend: str
    error: str


@dataclass(frozen=True, slots=True)
class PoolBackendBack(Event):
    """The pool backend answers again, after so many seconds."""

    backend: str
    seconds: float


@dataclass(frozen=True, slots=True)
class PoolConflict(Event):
    """This process defined a pool otherwise than another one that lives; the definition of the latest is in force."""

    pool: str
    limit_before: int | None
    limit: int | None
    per_key_before: int | None
    per_key: int | None


@dataclass(frozen=True, slots=True)
class LeaseInJeopardy(Event):
    """This process could not renew its session for so many seconds: half of its TTL."""

    backend: str
    seconds: float


@dataclass(frozen=True, slots=True)
class LeaseLapsed(Event):
    """What an op, a run (no `key`) or a `slots()` block (no `run_id`) held of a pool is its own no more.

    The backend may give it to others from now on. `fence` is what the lease was known by.
    """

    pool: str
    run_id: str
    key: str
    fence: int
    reason: str


@dataclass(frozen=True, slots=True)
class LeaseDebt(Event):
    """Units of a pool were used for so many seconds after their lease was lost; as long, others may have had them."""

    pool: str
    seconds: float


@dataclass(frozen=True, slots=True)
class LoopLagged(Event):
    """The event loop did not run for so many seconds: something in it blocked. Leases were renewed meanwhile."""

    seconds: float
