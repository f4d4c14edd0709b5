"""Definitions: what a decorator remembers of a function. Frozen; `.options(…)` makes changed copies."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Self, TypeAlias

from asyncflow._authoring.boundary import Boundary
from asyncflow._authoring.decorated import Binding, check_function, check_node_name, unwrapped
from asyncflow._authoring.inputs import InputCheck
from asyncflow._authoring.place import NOWHERE, Place, user_frame
from asyncflow._authoring.resource import Needs, added, check_needs, pools_of, resources_of
from asyncflow._authoring.signature import Signature, names_nearby
from asyncflow.errors import ConfigurationError, did_you_mean
from asyncflow.options import UNSET, OpOptions, PoolNeeds, RunOptions, Unset, check_flag
from asyncflow.runners import OpRunner, RunsIn

Mode: TypeAlias = Literal["async", "stream", "thread", "process", "runner"]
"""How the function of an op is called."""

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True, eq=False)
class OpDefinition:
    """An op.

    Args:
        name: What its keys begin with.
        fn: The user's function.
        mode: How it is called: `async` on the event loop, `stream` item by item there; `thread` on a thread, `process`
            in a worker process, `runner` by a runner of the user's.
        signature: How it may be called.
        options: What is tuned on it.
        where: File and line of the function.
        binds: What it is called with first where it stands in a class.
        deps: The names of assets that it starts after, where it is wired by name.
        resources: Its parameters that are resources.
        held: What it takes of pools because of them.
        boundary: How its values are judged, where they are.
        judged: True for the copy that a run has where they are.
        plain: True where it is just called: it needs no resource, and nothing is judged.
        runner: What runs it, where that is the user's.
    """

    name: str
    fn: Callable[..., Any]
    mode: Mode
    signature: Signature
    options: OpOptions
    where: Place
    binds: Binding = "instance"
    deps: tuple[str, ...] = ()
    resources: Needs = ()
    held: PoolNeeds = ()
    boundary: Boundary | None = None
    judged: bool = False
    plain: bool = True
    runner: OpRunner | None = None

    @property
    def place(self) -> str:
        """What it needs to run at, of which there are only so many: `thread`, `process`, or nothing."""
        return self.mode if self.mode in {"thread", "process"} else ""

    def as_judged(self) -> OpDefinition:
        """Returns a copy whose values are judged when it runs."""
        return replace(self, judged=True, plain=False)

    @property
    def pool(self) -> PoolNeeds | Callable[..., Any]:
        """What it takes of pools, its resources' included; or the function that will name its own."""
        pool = self.options.pool
        return pool if callable(pool) else added(pool, self.held)

    def changed(self, *, name: str | Unset, options: OpOptions) -> OpDefinition:
        """Returns a copy with other options, and another name where one is given."""
        called = self.name if name is UNSET else check_node_name(name, field=f"the name of {self.name}")
        changed = replace(self, name=called, options=options)
        if callable(options.pool) and options.pool is not self.options.pool:
            changed.check_pool_function(options.pool)
        return changed

    def check_pool_function(self, pool: Callable[..., Any]) -> None:
        """Refuses a pool function that asks for what the op does not have.

        Raises:
            ConfigurationError: naming the parameter, with the nearest one.
        """
        resources = [name for name, _ in self.resources]
        known = [name for name in self.signature.index if name not in resources]
        for name in _wanted(pool, known, self.name):
            if name in resources:
                raise ConfigurationError(
                    f"the pool function of {self.name} takes {name!r}, a resource, which is opened only after the op"
                    " has its slots; let it ask for other parameters"
                )
            if name not in self.signature.index:
                raise ConfigurationError(
                    f"the pool function of {self.name} takes {name!r}, which is no parameter of"
                    f" {self.name}{self.signature}{did_you_mean(name, known)}"
                )

    def ask_pool(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:  # noqa: ANN401 — the caller checks it
        """Calls a `pool=` function with those of the op's parameters that it names."""
        pool = self.options.pool
        if not callable(pool):
            return pool
        values = self.signature.bound(tuple(args), kwargs)
        for name, resource in self.resources:
            if values.get(name) is resource:
                del values[name]
        return pool(**{name: values[name] for name in _wanted(pool, list(values), self.name) if name in values})


def _wanted(pool: Callable[..., Any], known: list[str], op: str) -> list[str]:
    """Returns the parameters a pool function asks for by name; all that are known where it takes `**kwargs`."""
    if inspect.iscoroutinefunction(pool):
        raise ConfigurationError(f"the pool function of {op} is an async def, and nothing awaits it; write a `def`")
    try:
        parameters = inspect.signature(pool).parameters.values()
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"the pool function of {op} does not tell its parameters; write a `def`") from error
    wanted: list[str] = []
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            return known
        if parameter.kind not in _NAMED:
            raise ConfigurationError(
                f"the pool function of {op} takes {parameter.name!r} by position: it gets the op's parameters by name"
            )
        if parameter.default is parameter.empty or parameter.name in known:
            wanted.append(parameter.name)
    return wanted


def define_op(fn: object, *, options: OpOptions, runs_in: RunsIn | None) -> OpDefinition:
    """Returns the definition of an op.

    Raises:
        ConfigurationError: for something that cannot be an op, telling what to write.
    """
    inner, binds = unwrapped(fn)
    function = check_function(inner, "op")
    mode: Mode = "async" if inspect.iscoroutinefunction(function) else "thread"
    if inspect.isasyncgenfunction(function):
        mode = "stream"
    name = check_node_name(getattr(function, "__name__", ""), field="the name of an op")
    if runs_in is not None and mode != "thread":
        raise ConfigurationError(
            f"@op(runs_in={runs_in!r:.60}) is on {name}, an async def, which runs on the event loop; leave runs_in out"
        )
    runner: OpRunner | None = None
    if runs_in == "process":
        mode = "process"
    elif isinstance(runs_in, OpRunner) and not isinstance(runs_in, type):
        mode, runner = "runner", runs_in
    elif runs_in not in (None, "thread"):
        raise ConfigurationError(
            f"runs_in of {name} must be 'thread', 'process', or an object with `async def run(self, call)`, got"
            f" {runs_in!r:.60}"
        )
    if mode == "process" and "<locals>" in function.__qualname__:
        raise ConfigurationError(
            f"@op(runs_in='process') is on {name}, which is made inside another function, and worker processes import"
            " functions by name; move it to the top of a module"
        )
    resources = resources_of(function, f"op {name}")
    check_needs(resources, f"op {name}")
    signature = _signature_of(function)
    definition = OpDefinition(
        name,
        function,
        mode,
        signature,
        options,
        _where(function),
        binds,
        resources=resources,
        held=pools_of(resources),
        boundary=Boundary(signature),
        plain=not resources,
        runner=runner,
    )
    if callable(options.pool):
        definition.check_pool_function(options.pool)
    return definition


@dataclass(frozen=True, slots=True, eq=False)
class GraphDefinition:
    """A graph.

    Args:
        name: Its name.
        fn: The user's function, which wires it.
        static: True where it is wired once, with promises for all inputs.
        signature: How it may be called.
        inputs: How its inputs are checked.
        options: What is tuned on it and its runs.
        where: File and line of the function.
        of_run: The names of the options it has that hold for the outermost run only.
        binds: What it is called with first where it stands in a class.
        late: True where a call of it is a node, which wires when its inputs are there.
        live: True for an `async def`: a call of it is a node, whose body runs as it is.
    """

    name: str
    fn: Callable[..., Any]
    static: bool
    signature: Signature
    inputs: InputCheck
    options: RunOptions
    where: Place
    of_run: tuple[str, ...]
    binds: Binding = "instance"
    late: bool = False
    live: bool = False

    def changed(self, *, name: str | Unset, options: RunOptions) -> Self:
        """Returns a copy with other options, and another name where one is given."""
        called = self.name if name is UNSET else check_node_name(name, field=f"the name of {self.name}")
        return replace(self, name=called, options=options, of_run=_of_run(options))


_OF_RUN: Final = (
    "on_error",
    "tags",
    "priority",
    "fair_key",
    "weight",
    "run_id",
    "on_full",
    "conflict_key",
    "singleton",
    "wait_timeout",
    "hooks",
    "retry",
)
_DEFAULTS: Final = RunOptions()


def _of_run(options: RunOptions) -> tuple[str, ...]:
    return tuple([name for name in _OF_RUN if getattr(options, name) != getattr(_DEFAULTS, name)])


def define_graph(fn: object, *, name: str | None, static: object, late: object, options: RunOptions) -> GraphDefinition:
    """Returns the definition of a graph.

    Raises:
        ConfigurationError: for something that cannot be a graph, telling what to write.
    """
    is_static, is_late = check_flag(static, field="static"), check_flag(late, field="late")
    inner, binds = unwrapped(fn)
    function = check_function(inner, "graph")
    called = getattr(function, "__name__", "") if name is None else name
    checked = check_node_name(called, field="the name of a graph")
    for parameter, resource in resources_of(function, f"graph {checked}"):
        raise ConfigurationError(
            f"@graph is on {checked}, which takes {resource!r} as {parameter!r}: a graph wires and uses nothing itself;"
            " give the parameter to the ops that need it"
        )
    signature = _signature_of(function)
    live = inspect.iscoroutinefunction(function)
    if is_static and is_late:
        raise ConfigurationError(
            f"@graph(static=True, late=True) is on {checked}: a static graph is wired once, before any input is known,"
            " a late one each time its inputs are there; keep one of the two"
        )
    if live and (is_static or is_late):
        raise ConfigurationError(
            f"@graph({'static' if is_static else 'late'}=True) is on {checked}, an async def: its body runs when its"
            " inputs are there and wires nothing; leave the option out, or write a `def` without await"
        )
    if is_static and (signature.rest >= 0 or signature.keyworded >= 0):
        raise ConfigurationError(
            f"@graph(static=True) is on {checked}{signature}: it is wired before its inputs are known, so their number"
            " must be fixed; take a list or a dict instead"
        )
    inputs = InputCheck(checked, signature)
    where, of_run = _where(function), _of_run(options)
    return GraphDefinition(
        checked, function, is_static, signature, inputs, options, where, of_run, binds, is_late, live
    )


def _signature_of(function: Callable[..., Any]) -> Signature:
    frame = user_frame()
    return Signature(function, names_nearby(function, {} if frame is None else frame.f_locals))


def _where(function: Callable[..., Any]) -> Place:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return NOWHERE if code is None else (code.co_filename, code.co_firstlineno)
