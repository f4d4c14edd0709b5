"""The other side of the doors: which deployment applies, and how a run or a child of one begins there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextvars import copy_context
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from asyncflow import _executor as executor
from asyncflow._executor import CURRENT, Execution, RunState
from asyncflow._limits import Claim
from asyncflow.deployment import Deployment
from asyncflow.errors import ConfigurationError
from asyncflow.open_deployments import OPEN, open_on, running_loop
from asyncflow.results import RunResult
from asyncflow.run import Run, result_of
from asyncflow.runnable import Submittable

R = TypeVar("R")

_implicit: WeakKeyDictionary[asyncio.AbstractEventLoop, Deployment] = WeakKeyDictionary()


def default_deployment() -> Deployment:
    """Returns the running loop's implicit deployment: in memory, without limits until tuned."""
    loop = running_loop()
    found = _implicit.get(loop)
    if found is None:
        found = _implicit[loop] = Deployment("default")
    return found


def resolve_deployment(bound: Deployment | None) -> Deployment:
    """Returns the deployment that applies outside of runs.

    The bound one, else the innermost open one of this context, else the only one open on this loop, else the loop's
    implicit one.

    Raises:
        ConfigurationError: where several are open on this loop and none is nearer than the others.
    """
    if bound is not None:
        return bound
    for deployment in reversed(OPEN.get()):
        if deployment.is_open:
            return deployment
    here = open_on(running_loop())
    if len(here) > 1:
        names = ", ".join(repr(deployment.name) for deployment in here)
        raise ConfigurationError(f"several deployments are open ({names}); say which: `graph.on(deployment).run(…)`")
    return here[0] if here else default_deployment()


def running_op() -> Claim | None:
    """Returns the claim of the op that runs here; None outside of ops."""
    parent = CURRENT.get()
    if parent is None:
        return None
    frame, i = parent.owner
    here = frame.claims[i] is parent and frame.run.engine.loop is asyncio.get_running_loop()
    return parent if here else None


async def run_value(runnable: Submittable[R], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> R:
    """Runs to the end and returns the value; inside an op, as a child of it."""
    value: R = executor.value_of(await _ended(runnable, args, kwargs), single=runnable.single)
    return value


async def run_result(runnable: Submittable[R], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> RunResult[R]:
    """Runs to the end and returns everything it left behind; inside an op, as a child of it."""
    return result_of(await _ended(runnable, args, kwargs))


async def _ended(runnable: Submittable[Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Execution:
    """Runs to the end, as a child of the op that runs here or by itself; a store is open meanwhile."""
    bound = runnable.deployment
    parent = running_op()
    if parent is not None:
        outer = parent.owner[0].run
        if bound is None or bound is outer.deployment:
            child = _child(runnable, args, kwargs, parent)
            return await executor.wait(outer.engine, child)
    deployment = resolve_deployment(bound)
    if deployment.keeper is None:
        state = submit(deployment, runnable, args, kwargs)
        return await executor.wait(state.engine, state.root)
    async with deployment.store_open():
        past = await deployment.recall(runnable.run_options.resume_from)
        state = submit(deployment, runnable, args, kwargs, past=past)
        return await executor.wait(state.engine, state.root)


def start_run(runnable: Submittable[R], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Run[R]:
    """Starts an independent run in an open deployment and returns at once; inside a run, in that run's deployment.

    Raises:
        ConfigurationError: where the deployment is not open.
        RunRejected: where it is refused before it is queued.
    """
    bound = runnable.deployment
    parent = running_op() if bound is None else None
    if parent is not None:
        bound = parent.owner[0].run.deployment
    deployment = resolve_deployment(bound)
    if not deployment.is_open:
        raise ConfigurationError(
            f"a started run lives in a deployment, and {deployment.name!r} is not open;"
            " write `async with deployment:` around it, or `await graph.run(…)`"
        )
    again = executor.stored_run(runnable.run_options.resume_from)
    past = None if again is None or deployment.keeper is None else deployment.recall_now(again)
    state = submit(deployment, runnable, args, kwargs, past=past)
    return Run(state.engine, state, single=runnable.single)


def submit(
    deployment: Deployment,
    runnable: Submittable[Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    past: executor.Past | None = None,
) -> RunState:
    """Submits a run to a deployment; the caller waits for it, or nobody does.

    Args:
        deployment: The deployment.
        runnable: What is run.
        args: Its inputs.
        kwargs: Its inputs by name.
        past: What a store has of the run to go on from.
    """
    plan = runnable.wire(args, kwargs, deployment=deployment)
    inputs = runnable.input_values(args, kwargs) if plan.inputs else ()
    engine, home = deployment.place()
    deployment.provide(home)
    record = None if deployment.keeper is None else deployment.recorder(runnable, plan, args, kwargs, past)
    return engine.launch(
        plan,
        inputs,
        options=runnable.run_options,
        context=copy_context(),
        home=home,
        deployment=deployment,
        record=record,
    )


def _child(runnable: Submittable[Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], parent: Claim) -> Execution:
    """Starts a child of the op that runs here."""
    outer = parent.owner[0].run
    plan = runnable.wire(args, kwargs, deployment=outer.deployment)
    inputs = runnable.input_values(args, kwargs) if plan.inputs else ()
    child: Execution = outer.engine.launch_child(
        plan,
        inputs,
        options=runnable.run_options,
        context=copy_context(),
        parent=parent,
        single=runnable.single,
    )
    return child
