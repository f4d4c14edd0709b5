"""Going on where an earlier run ended: is it the same graph with the same inputs, and what of it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from asyncflow._executor.execution import Execution
from asyncflow._executor.hooking import watch_appended
from asyncflow._executor.reusing import Past
from asyncflow._executor.streams_again import lost_streams, read_anew
from asyncflow._scheduler import take_up
from asyncflow.errors import ConfigurationError, InputError, PlanError
from asyncflow.results import RunResult

if TYPE_CHECKING:
    from asyncflow._executor.keeping import RunRecorder
    from asyncflow._plan import Plan


def past_of(plan: Plan, inputs: Sequence[Any], result: object, record: RunRecorder | None) -> Execution | Past:
    """Returns what a run of this plan can go on from: a result, or what a store has of a run.

    Raises:
        ConfigurationError: where `result` is not of a whole run.
        PlanError: where it is of another graph, or one that was wired otherwise.
        InputError: where the inputs differ.
    """
    if record is not None and record.past is not None:
        return record.past
    if isinstance(result, str):
        raise ConfigurationError(
            f"resume_from: {result!r:.60} is the id of a run, and the deployment has no store that could have its"
            " record: Deployment(store='sqlite:///runs.db'); without one, resume from the RunResult"
        )
    if not isinstance(result, RunResult):
        raise ConfigurationError(
            f"resume_from must be the RunResult of an earlier run, or its id, not {type(result).__name__}; `try_run`"
            " and `RunFailed.result` give it"
        )
    past = result.record
    if not isinstance(past, Execution) or past.parent is not None:
        raise ConfigurationError(
            f"resume_from: {result!r} is not of a whole run; take the result that the run's own door gave"
        )
    if past.past is not None:
        raise ConfigurationError(
            f"resume_from: run {past.run.id} went on from a store, which still has its values; give its id, in a"
            " deployment with that store"
        )
    told = f"resume_from: run {past.run.id} of {past.run.graph}"
    if plan != past.plan:
        raise PlanError(f"{told} was wired otherwise: {_first_difference(plan, past.plan)}; run it from the start")
    for (name, _), now, then in zip(plan.inputs, inputs, past.inputs, strict=True):
        if not alike(now, then):
            raise InputError(f"{told} had another {name!r}; give the inputs it had")
    for one, other in zip(plan.nodes, past.plan.nodes, strict=True):
        if not (alike(one.args, other.args) and alike(one.kwargs, other.kwargs)):
            raise InputError(f"{told} called {one.key} with other arguments ({_at(one.where)}); give the inputs it had")
    return past


def _first_difference(plan: Plan, past: Plan) -> str:
    if plan.name != past.name:
        return f"this is {plan.name!r}"
    for key, i in plan.ids.items():
        if key not in past.ids:
            return f"it had no {key!r} ({_at(plan.nodes[i].where)})"
    for key in past.ids:
        if key not in plan.ids:
            return f"its {key!r} is no more"
    return "something depends on something else now"


def _at(where: tuple[str, int]) -> str:
    return f"{where[0]}:{where[1]}"


def alike(now: object, then: object) -> bool:
    """Returns whether two arguments are equal, as far as they can be compared: what has no `==` of its own is."""
    if now is then:
        return True
    kind: object = type(now)
    if kind is not type(then):
        return False
    if kind in (list, tuple):
        ones, others = cast("Sequence[object]", now), cast("Sequence[object]", then)
        return len(ones) == len(others) and all(alike(one, other) for one, other in zip(ones, others, strict=True))
    if kind is dict:
        left, right = cast("Mapping[object, object]", now), cast("Mapping[object, object]", then)
        return left.keys() == right.keys() and all(alike(left[key], right[key]) for key in left)
    if type(now).__eq__ is object.__eq__:
        return True
    try:
        return bool(now == then)
    except Exception:  # noqa: BLE001 — arrays and the like cannot say it in one word; nothing speaks against them
        return True


def go_on(frame: Execution, past: Execution | Past, inputs: Sequence[Any]) -> None:
    """Begins an execution with what an earlier one of the same plan achieved."""
    if isinstance(past, Past):
        frame.past, frame.timed = past, True
        frame.begin(inputs)
        return
    new = take_up(frame, past, inputs, lost=lost_streams(past))
    read_anew(frame)
    frame.claims.extend([None] * len(new))
    frame.timed = frame.timed or any(scope.timeout is not None for scope in frame.scopes[len(frame.scope_limits) :])
    frame.scope_limits.extend([None] * (len(frame.scopes) - len(frame.scope_limits)))
    frame.orders = [*frame.orders, *past.orders[new.start :]]
    if any(node.op is not None and node.op.options.hooks is not None for node in frame.nodes[new.start :]):
        watch_appended(frame.run.engine, frame)
    frame.stems.update(past.stems)
    frame.unlisted.update(past.unlisted)
