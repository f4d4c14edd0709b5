"""Ops: single steps of work. The decorator, and what it makes of a function.

The whole API hangs on these signatures; `tests/typing/` says what four type checkers make of them. `Runnable[P, R]`
carries the doors, typed from the one signature of the user's function: a `ParamSpec` cannot map a parameter of type
`T` to "`T`, or the promise of a `T`", so a call in a graph is typed as the plain call it looks like. Options travel in
`.options(…)`, never in the call, since a `ParamSpec` cannot take added keywords. `AsyncOp` and `SyncOp` differ only in
the type of `.fn`. As a method, an op annotates *self* as a callable: that binds the instance in all checkers, while
`self: AsyncOp[Concatenate[…], R]` costs false errors in two.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Final,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    overload,
)

from asyncflow._authoring import (
    Callee,
    OpDefinition,
    SettledCallee,
    call_op,
    call_settled,
    check_map_key,
    define_op,
    wire_op,
)
from asyncflow._plan import Plan, freeze
from asyncflow.deployment import Deployment
from asyncflow.doors import run_result, run_value, start_run
from asyncflow.errors import ConfigurationError
from asyncflow.options import UNSET, OpOptions, PoolOption, RunOptions, Unset
from asyncflow.results import Outcome, RunResult
from asyncflow.run import Run

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")

_DEFAULTS: Final = RunOptions()


class Settled(SettledCallee, Generic[P, R_co]):
    """An op or a graph whose calls give an `Outcome`: what fails inside is tolerated."""

    __slots__ = ()

    def __init__(self, callee: Callee) -> None:
        self.callee = callee

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Outcome[R_co]:
        """Wires a call; only inside a graph.

        Returns:
            While wiring, the promise of how it will have ended.

        Raises:
            TracingError: outside a graph, saying what to write there.
        """
        outcome: Outcome[R_co] = call_settled(self, args, kwargs)
        return outcome

    def __repr__(self) -> str:
        return f"<{self.callee.definition.name}.settled>"


class Runnable(Callee, Generic[P, R_co]):
    """What ops and graphs have in common: five doors, typed from one signature.

    | door | gives |
    |---|---|
    | `x(…)` | inside a graph: wires a call; to the type checker its result |
    | `await x.run(…)` | the value |
    | `await x.try_run(…)` | the `RunResult`; never raises for failures of ops |
    | `x.start(…)` | a live `Run` in an open deployment |
    | `x.fn` | the plain function, for unit tests |
    """

    __slots__ = ("deployment", "run_options")

    deployment: Deployment | None
    run_options: RunOptions

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Wires a call; only inside a graph.

        Returns:
            While wiring, the promise of the result.

        Raises:
            TracingError: outside a graph, saying what to write there; also for a promise that hides in an argument.
            PlanError: for arguments it cannot take.
        """
        raise NotImplementedError

    async def run(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Runs it and returns the value. Cancelling this call cancels the run.

        Raises:
            RunFailed: for a graph in which ops failed: the group of their exceptions. An op alone raises its own.
            RunCanceled: where somebody else cancelled the run.
            InputError: for an input of a graph that does not fit its annotation; nothing was started.
        """
        return await run_value(self, args, kwargs)

    async def try_run(self, *args: P.args, **kwargs: P.kwargs) -> RunResult[R_co]:
        """Runs it and returns everything it left behind. Cancelling this call cancels the run.

        Raises:
            InputError: for an input of a graph that does not fit its annotation. Failures of ops are in the result.
        """
        return await run_result(self, args, kwargs)

    def start(self, *args: P.args, **kwargs: P.kwargs) -> Run[R_co]:
        """Starts a run in an open deployment and returns at once.

        Raises:
            ConfigurationError: where no deployment is open.
            InputError: for an input of a graph that does not fit its annotation; nothing was started.
        """
        return start_run(self, args, kwargs)

    def after(self, *results: object) -> Self:
        """Returns a copy whose calls start after these results are there, without taking their values.

        One that failed or was abandoned abandons the calls; a skipped one does not stop them.

        Args:
            results: Results of ops, graphs, `each`, `when` or `apply` in the graph that is being wired; also lists,
                tuples and dicts of them.
        """
        return self._copy(order=(*self.order, *results))

    def on(self, deployment: Deployment) -> Self:
        """Returns a copy whose runs belong to `deployment`.

        Raises:
            ConfigurationError: for something that is no deployment.
        """
        return self._copy(deployment=check_deployment(deployment, who=f"{self.name}.on(…)"))

    @property
    def settled(self) -> Settled[P, R_co]:
        """Its calls as calls that give an `Outcome`, and whose failure does not fail the run; also in `each`."""
        return Settled(self)

    @property
    def name(self) -> str:
        """What its keys begin with."""
        return self.definition.name

    @property
    def single(self) -> bool:
        """True for an op: run alone it raises its own exception."""
        return isinstance(self.definition, OpDefinition)

    @property
    def __name__(self) -> str:
        return self.definition.name

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        function: Callable[..., Any] = plain(self)
        return function

    def wire(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, deployment: object = None) -> Plan:
        """Returns the plan for these arguments. Doors use it; to look at a plan, use `graph.plan(…)`."""
        raise NotImplementedError

    def input_values(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        """Returns the values of the plan's inputs, in their order. Doors use it."""
        raise NotImplementedError

    def _returns(self) -> R_co:
        """Carries the type of the value; never called."""
        raise NotImplementedError


class Op(Runnable[P, R_co], Generic[P, R_co]):
    """An op. Made by `@op`."""

    __slots__ = ()

    definition: OpDefinition

    def __init__(self, definition: OpDefinition) -> None:
        self.definition = definition  # pyright: ignore[reportIncompatibleVariableOverride]  # set once: an op never becomes a graph
        self.leading = ()
        self.order = ()
        self.map_key = None
        self.deployment = None
        self.run_options = _DEFAULTS

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
            """Wires a call; only inside a graph. See `Runnable`."""
            ...

    else:
        __call__ = call_op  # without a function between: this is the hot path of wiring

    def options(
        self,
        *,
        pool: PoolOption | Unset = UNSET,
        tags: Mapping[str, str] | Unset = UNSET,
        priority: int | Unset = UNSET,
        expected: float | None | Unset = UNSET,
        name: str | Unset = UNSET,
        map_key: Callable[[Any], str] | None | Unset = UNSET,
    ) -> Self:
        """Returns a copy with changes: tags merge by key, all else replaces.

        Args:
            pool: `"db"`, `"api:customer-7"`, `{"db": 2}`, a function of the op's parameters returning one of these,
                or None for no pool.
            tags: Op tags; those of the same key replace.
            priority: Higher starts first.
            expected: How many seconds it will take, a hint for the order; None for no idea.
            name: What its keys begin with, instead of the function's name.
            map_key: In an `each`, names the items by their value instead of by their index.

        Raises:
            ConfigurationError: naming the option that does not fit.
        """
        options = self.definition.options.merged(pool=pool, tags=tags, priority=priority, expected=expected)
        return self._copy(
            definition=self.definition.changed(name=name, options=options),
            map_key=self.map_key if map_key is UNSET else check_map_key(map_key, who=self.name),
        )

    def wire(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, deployment: object = None) -> Plan:  # noqa: ARG002 — an op has no nested graphs that could be bound elsewhere
        """Returns the plan of this op alone. Doors use it."""
        return freeze(wire_op(self, args, kwargs))

    def input_values(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:  # noqa: ARG002 — the plan of an op has none
        """Returns no values: the plan of an op alone has its arguments in it."""
        return ()

    def __repr__(self) -> str:
        return f"<Op {self.definition.name}>"


class AsyncOp(Op[P, R_co], Generic[P, R_co]):
    """An op whose function is an `async def`."""

    __slots__ = ()

    @property
    def fn(self) -> Callable[P, Coroutine[Any, Any, R_co]]:
        """The plain function, for unit tests."""
        function: Callable[P, Coroutine[Any, Any, R_co]] = plain(self)
        return function

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(self: Callable[Concatenate[S, Q], R], instance: S, owner: type[Any] | None = None) -> AsyncOp[Q, R]: ...
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Any:
        return self.bound_in(instance, owner)


class SyncOp(Op[P, R_co], Generic[P, R_co]):
    """An op whose function is a plain `def`; it runs on a thread."""

    __slots__ = ()

    @property
    def fn(self) -> Callable[P, R_co]:
        """The plain function, for unit tests."""
        function: Callable[P, R_co] = plain(self)
        return function

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(self: Callable[Concatenate[S, Q], R], instance: S, owner: type[Any] | None = None) -> SyncOp[Q, R]: ...
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Any:
        return self.bound_in(instance, owner)


def plain(callee: Callee) -> Any:  # noqa: ANN401 — the user's function, typed by the caller
    """Returns the user's function, bound to its instance where it is a method."""
    fn: Any = callee.definition.fn
    return fn.__get__(callee.leading[0]) if callee.leading else fn


def check_deployment(value: object, *, who: str) -> Deployment:
    """Returns `value` where it is a deployment.

    Raises:
        ConfigurationError: for anything else.
    """
    if not isinstance(value, Deployment):
        raise ConfigurationError(f"{who} takes a Deployment, not {type(value).__name__}")
    return value


class OpDecorator(Protocol):
    """What `@op(…)` is: makes an op of a function."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncOp[P, R]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]  # the first that fits is meant
    @overload
    def __call__(self, fn: Callable[P, R], /) -> SyncOp[P, R]: ...


class SyncOpDecorator(Protocol):
    """What `@op(runs_in=…)` is: makes an op of a plain function."""

    def __call__(self, fn: Callable[P, R], /) -> SyncOp[P, R]:
        """Returns the op."""
        ...


@overload
def op(fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncOp[P, R]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]  # the first that fits is meant
@overload
def op(fn: Callable[P, R], /) -> SyncOp[P, R]: ...
@overload
def op(
    *,
    runs_in: Literal["thread"],
    pool: PoolOption = None,
    tags: Mapping[str, str] | None = None,
    priority: int = 0,
    expected: float | None = None,
) -> SyncOpDecorator: ...
@overload
def op(
    *,
    pool: PoolOption = None,
    tags: Mapping[str, str] | None = None,
    priority: int = 0,
    expected: float | None = None,
) -> OpDecorator: ...
def op(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    runs_in: str | None = None,
    pool: PoolOption = None,
    tags: Mapping[str, str] | None = None,
    priority: int = 0,
    expected: float | None = None,
) -> Any:
    """Makes an op of a function: a step of work that runs under limits.

    An `async def` runs on the event loop, a plain `def` on a thread. With or without parentheses; methods too.

    Args:
        fn: The function.
        runs_in: Where a plain `def` runs: `"thread"`.
        pool: Whose slots it takes: `"db"`, `"api:customer-7"`, `{"db": 2}`, or a function of the op's parameters (by
            name) returning one of these.
        tags: Op tags, for tag limits.
        priority: Higher starts first.
        expected: How many seconds it will take, a hint for the order.

    Returns:
        The op.

    Raises:
        ConfigurationError: for an option that does not fit, or something that is no function, saying what to write.

    >>> import asyncio
    >>> from asyncflow import op
    >>> @op(pool="web", tags={"kind": "io"})
    ... async def fetch(url: str) -> str:
    ...     return f"<page of {url}>"
    >>> asyncio.run(fetch.run("a.org"))
    '<page of a.org>'
    """
    options = OpOptions().merged(pool=pool, tags={} if tags is None else tags, priority=priority, expected=expected)

    def decorate(function: Callable[..., Any]) -> Op[..., Any]:
        definition = define_op(function, options=options, runs_in=runs_in)
        return AsyncOp[..., Any](definition) if definition.mode == "async" else SyncOp[..., Any](definition)

    return decorate if fn is None else decorate(fn)
