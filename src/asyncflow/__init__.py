"""asyncflow: run graphs of Python functions inside your own asyncio program, under limits that are all decided at once.

    from asyncflow import Deployment, each, graph, op

    @op(pool="web")
    async def fetch(url: str) -> str: ...

    @graph(max_concurrent=4)
    def crawl(urls: list[str]) -> list[str]:
        return each(fetch, urls)

    pages = await crawl.run(urls)

The layers, from what you write to what comes out: `_authoring` records calls, `_plan` freezes them, `_limits` decides
who may start, `_scheduler` keeps the state of a run, `_executor` does what was decided, `_observers` tell it.
"""

from asyncflow._authoring import UnusedResultWarning, apply, each, stream, use, when
from asyncflow._limits import Blocker, Explanation, Snapshot
from asyncflow._plan import Plan
from asyncflow.concurrency import ConcurrencyConfig
from asyncflow.context import context
from asyncflow.deployment import Deployment
from asyncflow.doors import default_deployment
from asyncflow.errors import (
    AdmissionError,
    AsyncflowError,
    BackendCorrupt,
    BadRequest,
    ConfigurationError,
    DeadlockError,
    DemandError,
    InputError,
    LeaseLost,
    OpAborted,
    OpSkipped,
    OpTimeout,
    OutputError,
    PlanError,
    PoolBackendError,
    PoolBackendUnavailable,
    RecordedFailure,
    ResourceError,
    ResultNotStorable,
    RunCanceled,
    RunFailed,
    RunRejected,
    RunTimeout,
    SchemaMismatch,
    SelfCancelled,
    SessionLost,
    Skip,
    StalledError,
    StoreUnavailable,
    StreamError,
    TracingError,
    TransferError,
    WorkerDiedError,
    WorkerRaisedError,
    WorkerStartError,
)
from asyncflow.events import (
    Event,
    EventsDropped,
    HookFailed,
    LimitChanged,
    LimitPaused,
    LimitResumed,
    NeverFits,
    OpBlocked,
    OpEmitted,
    OpEnded,
    OpProgress,
    OpRetried,
    OpStarted,
    OpUnblocked,
    PoolUnknown,
    PoolUnlimited,
    ResourceClosed,
    ResourceEvent,
    ResourceFailed,
    ResourceOpened,
    RunBlocked,
    RunEnded,
    RunQueued,
    RunReprioritised,
    RunRetried,
    RunStarted,
    StoreFailed,
    StuckOp,
    StuckResource,
)
from asyncflow.graph import Graph, graph
from asyncflow.hooks import HookInfo, Hooks
from asyncflow.op import AsyncOp, StreamOp, SyncOp, op
from asyncflow.op_context import OpContext
from asyncflow.options import PER_VALUE, TagLimit
from asyncflow.records import OpRecord, RunRecord
from asyncflow.results import Attempt, OpResult, OpStatus, Outcome, RunResult, RunStatus
from asyncflow.retry import Failure, Retry, RetryRequested
from asyncflow.run import Run
from asyncflow.runners import OpCall, OpRunner
from asyncflow.views import DeploymentSnapshot, Place, Preview, RunView

__version__ = "0.1.0"

__all__ = [
    "PER_VALUE",
    "AdmissionError",
    "AsyncOp",
    "AsyncflowError",
    "Attempt",
    "BackendCorrupt",
    "BadRequest",
    "Blocker",
    "ConcurrencyConfig",
    "ConfigurationError",
    "DeadlockError",
    "DemandError",
    "Deployment",
    "DeploymentSnapshot",
    "Event",
    "EventsDropped",
    "Explanation",
    "Failure",
    "Graph",
    "HookFailed",
    "HookInfo",
    "Hooks",
    "InputError",
    "LeaseLost",
    "LimitChanged",
    "LimitPaused",
    "LimitResumed",
    "NeverFits",
    "OpAborted",
    "OpBlocked",
    "OpCall",
    "OpContext",
    "OpEmitted",
    "OpEnded",
    "OpProgress",
    "OpRecord",
    "OpResult",
    "OpRetried",
    "OpRunner",
    "OpSkipped",
    "OpStarted",
    "OpStatus",
    "OpTimeout",
    "OpUnblocked",
    "Outcome",
    "OutputError",
    "Place",
    "Plan",
    "PlanError",
    "PoolBackendError",
    "PoolBackendUnavailable",
    "PoolUnknown",
    "PoolUnlimited",
    "Preview",
    "RecordedFailure",
    "ResourceClosed",
    "ResourceError",
    "ResourceEvent",
    "ResourceFailed",
    "ResourceOpened",
    "ResultNotStorable",
    "Retry",
    "RetryRequested",
    "Run",
    "RunBlocked",
    "RunCanceled",
    "RunEnded",
    "RunFailed",
    "RunQueued",
    "RunRecord",
    "RunRejected",
    "RunReprioritised",
    "RunResult",
    "RunRetried",
    "RunStarted",
    "RunStatus",
    "RunTimeout",
    "RunView",
    "SchemaMismatch",
    "SelfCancelled",
    "SessionLost",
    "Skip",
    "Snapshot",
    "StalledError",
    "StoreFailed",
    "StoreUnavailable",
    "StreamError",
    "StreamOp",
    "StuckOp",
    "StuckResource",
    "SyncOp",
    "TagLimit",
    "TracingError",
    "TransferError",
    "UnusedResultWarning",
    "WorkerDiedError",
    "WorkerRaisedError",
    "WorkerStartError",
    "apply",
    "context",
    "default_deployment",
    "each",
    "graph",
    "op",
    "stream",
    "use",
    "when",
]
