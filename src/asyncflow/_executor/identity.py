"""What a run is, told to a store before it begins, and whether another one is the same: graph, wiring and inputs.

Inputs are kept as their annotations say. One that cannot be (a connection, an open file) is known by its type only: it
is given again, and taken as equal, as objects without an `==` are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

from asyncflow._authoring import Callee, GraphDefinition, Hint, OpDefinition, Resource, Signature
from asyncflow._executor.keeping import clean
from asyncflow._executor.reusing import Past
from asyncflow._plan import Plan
from asyncflow._store import Codec, RunBegan, UnfitError, refuse_unstorable, same
from asyncflow.errors import InputError, PlanError

MOST_KEYS: Final = 5_000
"""Ops of a plan whose keys are kept, so that a difference can be named."""

_codecs: WeakKeyDictionary[Signature, tuple[Codec, ...]] = WeakKeyDictionary()


def run_began(callee: Callee, plan: Plan, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, store: str) -> RunBegan:
    """Returns what is known of a run before it exists.

    Raises:
        ResultNotStorable: where the annotation of an op says that nothing it gives can be kept.
    """
    for op in plan.definitions:
        refuse_unstorable(op, f"{plan.name}: {op.name}", store)
    keys = list(plan.ids) if len(plan.ids) <= MOST_KEYS else []
    tags: Mapping[str, str] = getattr(callee, "run_options").tags  # noqa: B009 — a door's, which this room does not know
    return RunBegan(
        run_id="",
        graph=plan.name,
        deployment="",
        target=json.dumps(target_of(callee)),
        shape=plan.digest,
        keys=json.dumps([clean(key) for key in keys]),
        inputs=json.dumps(written_inputs(callee, args, kwargs)),
        tags=json.dumps(dict(tags)),
        priority=0,
        queued_at=0.0,
        resumed_from=None,
    )


def target_of(callee: Callee) -> dict[str, Any]:
    """Returns where a graph or an op is defined, and which part of it is run."""
    definition = callee.definition
    clauses = [[one.name, one.before, one.behind] for one in getattr(callee, "selection", ())]
    return {
        "module": getattr(definition.fn, "__module__", ""),
        "qualname": getattr(definition.fn, "__qualname__", ""),
        "name": definition.name,
        "bound": bool(callee.leading),
        "clauses": clauses,
        "given": bool(getattr(callee, "values", {})),
    }


def values_of(callee: Callee, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the inputs by name, as the annotations of a graph make them; resources and bound instances left out."""
    definition = callee.definition
    args = callee.leading + args
    if isinstance(definition, GraphDefinition):
        args, kwargs = definition.inputs.values(args, kwargs)
    values = definition.signature.bound(args, kwargs)
    bound = [parameter.name for parameter in definition.signature.parameters[: len(callee.leading)]]
    return {name: value for name, value in values.items() if name not in bound and not isinstance(value, Resource)}


def written_inputs(callee: Callee, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Returns the inputs by name, as JSON, or as the name of their type where they cannot be kept."""
    signature = callee.definition.signature
    codecs = codecs_of(signature)
    found: dict[str, dict[str, str]] = {}
    for name, value in values_of(callee, args, kwargs).items():
        try:
            found[name] = {"json": codecs[signature.index[name]].written(value)}
        except UnfitError:
            found[name] = {"type": type(value).__qualname__}
    return found


def read_inputs(
    definition: OpDefinition | GraphDefinition, inputs: Mapping[str, Mapping[str, str]]
) -> tuple[list[Any], dict[str, Any]]:
    """Returns inputs to call with, from a record in which all of them are kept.

    Raises:
        InputError: for one that is not kept, or does not fit any more.
    """
    signature = definition.signature
    codecs = codecs_of(signature)
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for name, written in inputs.items():
        i = signature.index.get(name, -1)
        if i < 0 or "json" not in written:
            why = "it has no such parameter any more" if i < 0 else f"a {written.get('type')} cannot be kept"
            raise InputError(
                f"the input {name!r} of {definition.name} cannot be taken from the record: {why}; give the inputs"
                " yourself: graph.options(resume_from=run_id)"
            )
        try:
            value = codecs[i].read(written["json"])
        except UnfitError as unfit:
            raise InputError(
                f"the input {name!r} of {definition.name} cannot be taken from the record: {unfit}"
            ) from None
        parameter = signature.parameters[i]
        if i == signature.rest:
            args.extend(value)
        elif i == signature.keyworded:
            kwargs.update(value)
        elif parameter.kind is parameter.POSITIONAL_ONLY or signature.rest > i:
            args.append(value)
        else:
            kwargs[name] = value
    return args, kwargs


def codecs_of(signature: Signature) -> tuple[Codec, ...]:
    """Returns how the inputs of a function are kept, one for each parameter."""
    found = _codecs.get(signature)
    if found is None:
        hints = list(signature.resolve().hints)
        for i, container in ((signature.rest, "rest"), (signature.keyworded, "keyworded")):
            if i >= 0:
                hint = hints[i]
                inner: Any = Any if hint is None else hint.annotation
                hints[i] = Hint(tuple[inner, ...] if container == "rest" else dict[str, inner])
        found = _codecs[signature] = tuple([Codec(hint) for hint in hints])
    return found


def refuse_other(callee: Callee, now: RunBegan, past: Past, values: Mapping[str, Any]) -> None:
    """Refuses to go on from a run of another graph, another wiring, or other inputs.

    Raises:
        PlanError: where it is of another graph, or one that was wired otherwise.
        InputError: where the inputs differ.
    """
    then = past.kept.run
    told = f"resume_from: run {then.run_id} of {then.graph}"
    if now.shape != then.shape:
        raise PlanError(f"{told} was wired otherwise: {_difference(now, then)}; run it from the start")
    mine: dict[str, dict[str, str]] = json.loads(now.inputs)
    theirs: dict[str, dict[str, str]] = json.loads(then.inputs)
    signature = callee.definition.signature
    for name, written in mine.items():
        known = theirs.get(name)
        if known is None:
            raise InputError(f"{told} had no input {name!r}; run it from the start")
        if written == known or "json" not in known or "json" not in written:
            continue
        try:
            equal = same(values[name], codecs_of(signature)[signature.index[name]].read(known["json"]))
        except UnfitError:
            equal = False
        if not equal:
            raise InputError(f"{told} had another {name!r}; give the inputs it had")


def _difference(now: RunBegan, then: RunBegan) -> str:
    if now.graph != then.graph:
        return f"this is {now.graph!r}"
    mine: list[str] = json.loads(now.keys)
    theirs: list[str] = json.loads(then.keys)
    if mine and theirs:
        for key in mine:
            if key not in theirs:
                return f"it had no {key!r}"
        for key in theirs:
            if key not in mine:
                return f"its {key!r} is no more"
    return "something depends on something else now"
