"""Plain functions in worker processes.

A worker process can be ended, so a cancelled op, or one whose time is over, gives its slot back as soon as its process
is gone. What the function may ask and tell about its op goes through the pipe.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from asyncflow._executor.crew import CREW, Crew
from asyncflow._executor.current import CURRENT
from asyncflow._executor.supplied import supply_of
from asyncflow._executor.trial import attempt_of
from asyncflow._observers import bound_context
from asyncflow._workers import RemoteCall, address_of, find, packed_call
from asyncflow.errors import ConfigurationError
from asyncflow.events import OpEmitted, OpProgress
from asyncflow.runners import OpCall, OpRunner

if TYPE_CHECKING:
    from asyncflow._authoring import OpDefinition
    from asyncflow._executor.execution import Execution
    from asyncflow._limits import Claim


async def in_process(op: OpDefinition, args: list[Any], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 — the user's result
    """Calls the function of an op in a worker process, and waits until it has ended, or the process has.

    Raises:
        TransferError: for an argument or a result that cannot be sent.
        WorkerDiedError: where the process ended before the function.
        Exception: what the function raised.
    """
    claim = CURRENT.get()
    if claim is None:
        raise ConfigurationError(f"{op.name} is driven outside of a run; this is a defect of asyncflow")
    frame, i = claim.owner
    about = about_op(frame, i)
    who = f"{about.graph}/{about.key}"
    parcel = packed_call(
        address=address_of(op.fn, who),
        call=about,
        args=args,
        kwargs=kwargs,
        names=list(op.signature.index),
        variables=carried(frame),
        bound=bound_context(),
    )
    crew: Crew = await supply_of(frame, i, claim).take(CREW)
    return await crew.call(parcel, who=who, told=telling(claim))


async def by_runner(op: OpDefinition, runner: OpRunner, args: list[Any], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 — the user's result
    """Lets a runner of the user's call the function of an op."""
    claim = CURRENT.get()
    if claim is None:
        raise ConfigurationError(f"{op.name} is driven outside of a run; this is a defect of asyncflow")
    frame, i = claim.owner
    run = frame.run
    call = OpCall(op.fn, tuple(args), dict(kwargs), run.id, run.graph, frame.key(i), attempt_of(frame, i))
    return await runner.run(call)


def telling(claim: Claim) -> Callable[[str, tuple[Any, ...], dict[str, Any]], None]:
    """Returns what makes events of what a function in a worker process tells; only while somebody listens."""
    frame, i = claim.owner
    engine, run = frame.run.engine, frame.run

    def told(method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        about = (engine.clock(), run.id, run.graph, frame.key(i))
        if method == "progress" and engine.observers.ops:
            engine.observers.tell(OpProgress(*about, args[0], args[1]))
        elif method == "emit" and engine.observers.runs:
            engine.observers.tell(OpEmitted(*about, args[0], MappingProxyType(kwargs)))

    return told


def about_op(frame: Execution, i: int) -> RemoteCall:
    """Returns what is said of an op where it runs elsewhere."""
    key: str = frame.key(i)
    own: str = frame.nodes[i].key
    opened, closed = own.rfind("["), own.rfind("]")
    op = frame.nodes[i].op
    return RemoteCall(
        run_id=frame.run.id,
        graph=frame.run.graph,
        key=key,
        attempt=attempt_of(frame, i),
        map_key=own[opened + 1 : closed] if opened >= 0 else None,
        tags={} if op is None else dict(op.options.tags),
        run_tags=dict(frame.run.tags),
    )


def carried(frame: Execution) -> dict[str, Any]:
    """Returns the context variables that the deployment carries into worker processes, with their values here."""
    found: dict[str, Any] = {}
    for address in frame.run.engine.carry:
        variable: ContextVar[Any] = found_variable(address)
        value = variable.get(inspect.Parameter.empty)
        if value is not inspect.Parameter.empty:
            found[address] = value
    return found


def found_variable(address: str) -> ContextVar[Any]:
    """Returns the context variable at `module:name`.

    Raises:
        ConfigurationError: where none stands there.
    """
    try:
        variable: Any = find(address)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"carry: {address!r} is not there ({error}); write 'package.module:NAME'") from error
    if not issubclass(type(variable), ContextVar):
        raise ConfigurationError(f"carry: {address!r} is a {type(variable).__name__}, not a ContextVar")
    found: ContextVar[Any] = variable
    return found
