"""Running the body of a graph so that it wires: what it raises is told in the words of the graph.

A nested call runs the body of another graph inside. One that never ends is found when the calls that are going on
reach a limit, Python's or ours, and its names are told. Nobody can tell there whether it would have ended a little
later, so the error says how deep it was and what stopped it. A graph that calls itself fewer times, deciding on real
inputs, is fine.

A body runs in a copy of the context it is called in: a context variable that it sets is its own. Neither the caller of
`.run` nor the ops of the run see it, since they run long after the body, in the caller's context.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from asyncflow._authoring.definition import GraphDefinition
from asyncflow._authoring.hidden import find_hidden
from asyncflow._authoring.place import Place, last_place, told
from asyncflow._authoring.refusal import described
from asyncflow.errors import PlanError, TracingError

if TYPE_CHECKING:
    from asyncflow._authoring.wiring import Wiring

DEEPEST: Final = 500
"""Nested calls that may be going on at once, where Python's own limit does not come first."""

_ABOUT_PROMISE: Final = re.compile(r"\bPromise\b")


def run_body(
    wiring: Wiring, definition: GraphDefinition, args: tuple[Any, ...], kwargs: dict[str, Any], where: Place
) -> Any:  # noqa: ANN401 — what the body returned
    """Calls the body and returns what it returned.

    Raises:
        PlanError: where it calls itself without end, or deeper than Python can.
        TracingError: where a promise was given to something that wanted a value.
    """
    calls = wiring.calls
    if len(calls) >= DEEPEST:
        raise endless(calls, definition, where, f"asyncflow goes no deeper than {DEEPEST}")
    calls.append(definition)
    try:
        return copy_context().run(definition.fn, *args, **kwargs)
    except RecursionError as error:
        if any(call.fn is definition.fn for call in calls[:-1]):
            limit = f"Python's recursion limit, {sys.getrecursionlimit()} here, allows no more"
            raise endless(calls[:-1], definition, where, limit) from error
        raise
    except ValidationError as error:
        refuse_model(definition, error)
        raise
    except (TypeError, AttributeError) as error:
        refuse_foreign(definition, error)
        raise
    finally:
        calls.pop()


def endless(calls: Sequence[GraphDefinition], again: GraphDefinition, where: Place, limit: str) -> PlanError:
    """Returns the error for a graph that wires itself without end, or too deep, naming the cycle and the limit."""
    names = [call.name for call in calls]
    before = [i for i, call in enumerate(calls) if call.fn is again.fn]
    cycle = [*(names[before[-1] :] if before else names[-5:]), again.name]
    return PlanError(
        f"{names[0]} wires itself without end, or too deep: {' → '.join(cycle)}, the last time at {told(where)},"
        f" {len(calls)} calls deep, and {limit}. A promise cannot end a recursion: decide on a real input. Where it has"
        " an end, write a loop instead, recurse inside an op (`await graph.run(…)`), or raise `sys.setrecursionlimit`"
    )


def refuse_model(definition: GraphDefinition, error: ValidationError) -> None:
    """Tells that a pydantic model was given a promise, where that is why it refused.

    Raises:
        TracingError: naming the model and what to write.
    """
    for problem in error.errors(include_url=False, include_context=False):
        hidden = find_hidden(problem["input"])
        if hidden is not None:
            raise TracingError(
                f"the model {error.title} at {told(_within(definition, error))} needs the value of"
                f" {described(hidden[0])}, and while a graph is wired there is only a promise of it: write"
                f" `apply({error.title}, …)`, which makes the model when the values are there"
            ) from error


def refuse_foreign(definition: GraphDefinition, error: Exception) -> None:
    """Tells that a function was given a promise, where that is what it complains about.

    Raises:
        TracingError: telling what to write.
    """
    if _ABOUT_PROMISE.search(str(error)):
        raise TracingError(
            f"something in {definition.name}, at {told(_within(definition, error))}, wanted a value and was given a"
            f" promise ({type(error).__name__}: {error}): give it to an op, or make a step of the call:"
            " `apply(function, x)`"
        ) from error


def _within(definition: GraphDefinition, error: BaseException) -> Place:
    code = getattr(definition.fn, "__code__", None)
    return last_place(error.__traceback__, definition.where[0] if code is None else code.co_filename)
