"""Ops: single steps of work. The decorator, and what it makes of a function."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Protocol, Self, TypeVar, overload

from asyncflow._authoring import Callee, OpDefinition, SettledCallee, call, call_settled, define_op, wire_op
from asyncflow._plan import Plan, freeze
from asyncflow.deployment import Deployment, run_result, run_value, start_run
from asyncflow.errors import ConfigurationError
from asyncflow.options import UNSET, OpOptions, PoolOption, RunOptions, Unset
from asyncflow.results import Outcome, RunResult
from asyncflow.run import Run

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")

_DEFAULTS = RunOptions()


class Settled(SettledCallee, Generic[P, R_co]):
    """An op or a graph whose calls give an `Outcome`: failures inside are tolerated."""

    __slots__ = ()

    def __init__(self, callee: Callee) -> None:
        self.callee = callee

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Outcome[R_co]:
        """Wires a call; only inside a graph. The promise of how it will have ended."""
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

        Raises:
            TracingError: outside a graph, saying what to write there.
        """
        result: R_co = call(self, args, kwargs)
        return result

    async def run(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Runs it and returns the value. Cancelling this call cancels the run.

        Raises:
            RunFailed: for a graph in which ops failed: the group of their exceptions. An op raises its own.
            RunCanceled: where somebody else cancelled the run.
        """
        return await run_value(self, args, kwargs)

    async def try_run(self, *args: P.args, **kwargs: P.kwargs) -> RunResult[R_co]:
        """Runs it and returns everything it left behind; never raises for failures of ops."""
        return await run_result(self, args, kwargs)

    def start(self, *args: P.args, **kwargs: P.kwargs) -> Run[R_co]:
        """Starts a run in an open deployment and returns at once."""
        return start_run(self, args, kwargs)

    def after(self, *results: object) -> Self:
        """Returns a copy whose calls start after these results are there, without taking their values.

        Failed and abandoned ones abandon it; skipped ones do not stop it.
        """
        return self._copy(order=(*self.order, *results))

    def on(self, deployment: Deployment) -> Self:
        """Returns a copy whose runs belong to `deployment`."""
        if not isinstance(deployment, Deployment):
            raise ConfigurationError(f".on(…) takes a Deployment, not {type(deployment).__name__}")
        return self._copy(deployment=deployment)

    @property
    def settled(self) -> Settled[P, R_co]:
        """Calls of it that give an `Outcome`, and whose failure does not fail the run."""
        return Settled(self)

    @property
    def name(self) -> str:
        """What its keys begin with."""
        return self.definition.name

    @property
    def single(self) -> bool:
        """True for an op: run alone it raises its own exception."""
        return isinstance(self.definition, OpDefinition)

    def wire(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Plan:
        """Returns the plan for these arguments."""
        raise NotImplementedError

    def input_values(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        """Returns the values of the plan's inputs, in their order."""
        return ()

    def _returns(self) -> R_co:
        raise NotImplementedError


class Op(Runnable[P, R_co], Generic[P, R_co]):
    """An op. Made by `@op`."""

    __slots__ = ()

    definition: OpDefinition

    def __init__(self, definition: OpDefinition) -> None:
        self.definition = definition
        self.leading = ()
        self.order = ()
        self.map_key = None
        self.deployment = None
        self.run_options = _DEFAULTS

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
        """Returns a copy with changes: tags merge by key, all else replaces."""
        changed = self.definition.changed(name=name, pool=pool, tags=tags, priority=priority, expected=expected)
        copy = self._copy(definition=changed)
        return copy if map_key is UNSET else copy._copy(map_key=map_key)

    def wire(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Plan:
        """Returns the plan of this op alone."""
        return freeze(wire_op(self, args, kwargs))

    def __repr__(self) -> str:
        return f"<Op {self.definition.name}>"


class AsyncOp(Op[P, R_co], Generic[P, R_co]):
    """An op whose function is an `async def`."""

    __slots__ = ()

    @property
    def fn(self) -> Callable[P, Coroutine[Any, Any, R_co]]:
        """The plain function, for unit tests."""
        return plain(self)

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(
        self: Callable[Concatenate[S, Q], R], instance: S, owner: type[Any] | None = None
    ) -> AsyncOp[Q, R]: ...
    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        return self if instance is None else self._copy(leading=(*self.leading, instance))


class SyncOp(Op[P, R_co], Generic[P, R_co]):
    """An op whose function is a plain `def`; it runs on a thread."""

    __slots__ = ()

    @property
    def fn(self) -> Callable[P, R_co]:
        """The plain function, for unit tests."""
        return plain(self)

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(
        self: Callable[Concatenate[S, Q], R], instance: S, owner: type[Any] | None = None
    ) -> SyncOp[Q, R]: ...
    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        return self if instance is None else self._copy(leading=(*self.leading, instance))


def plain(callee: Callee) -> Any:  # noqa: ANN401 — the user's function
    """Returns the user's function, bound to its instance where it is a method."""
    fn = callee.definition.fn
    return fn.__get__(callee.leading[0]) if callee.leading else fn


class OpDecorator(Protocol):
    """What `@op(…)` is: makes an op of a function."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncOp[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> SyncOp[P, R]: ...


class SyncOpDecorator(Protocol):
    """What `@op(runs_in=…)` is: makes an op of a plain function."""

    def __call__(self, fn: Callable[P, R], /) -> SyncOp[P, R]:
        """Returns the op."""
        ...


@overload
def op(fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncOp[P, R]: ...
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
    fn: Any = None,
    /,
    *,
    runs_in: str | None = None,
    pool: PoolOption = None,
    tags: Mapping[str, str] | None = None,
    priority: int = 0,
    expected: float | None = None,
) -> Any:
    """Makes an op of a function."""
    options = OpOptions().merged(pool=pool, tags={} if tags is None else tags, priority=priority, expected=expected)

    def decorate(function: Any) -> Any:
        definition = define_op(function, options=options, runs_in=runs_in)
        return AsyncOp(definition) if definition.mode == "async" else SyncOp(definition)

    return decorate if fn is None else decorate(fn)
