"""Ops: single steps of work. The decorator, and what it makes of a function.

The whole API hangs on these signatures; `tests/typing/` says what four type checkers make of them. `Runnable[P, R]`
carries the doors, typed from the one signature of the user's function: a `ParamSpec` cannot map a parameter of type
`T` to "`T`, or the promise of a `T`", so a call in a graph is typed as the plain call it looks like. Options travel in
`.options(…)`, never in the call, since a `ParamSpec` cannot take added keywords. `AsyncOp` and `SyncOp` differ only in
the type of `.fn`. As a method, an op annotates *self* as a callable: that binds the instance in all checkers, while
`self: AsyncOp[Concatenate[…], R]` costs false errors in two.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from datetime import timedelta
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Final,
    Generic,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    overload,
)

from asyncflow._authoring import WINDOW, OpDefinition, call_op, check_map_key, check_window, define_op, wire_op
from asyncflow._plan import Plan, freeze
from asyncflow.hooks import Hooks
from asyncflow.options import UNSET, OpOptions, PoolOption, RunOptions, Unset
from asyncflow.retry import Retry
from asyncflow.runners import RunsIn
from asyncflow.typed_doors import Runnable, plain

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")
T = TypeVar("T")

_DEFAULTS: Final = RunOptions()


class Op(Runnable[P, R_co], Generic[P, R_co]):
    """An op. Made by `@op`."""

    __slots__ = ()

    definition: OpDefinition

    def __init__(self, definition: OpDefinition) -> None:
        self.definition = definition  # pyright: ignore[reportIncompatibleVariableOverride]  # set once: an op never becomes a graph
        self.leading = ()
        self.order = ()
        self.map_key = None
        self.window = WINDOW
        self.deployment = None
        self.run_options = _DEFAULTS

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
            """Wires a call; only inside a graph. See `Runnable`."""
            ...

    else:
        __call__ = call_op  # without a function between: this is the hot path of wiring

    def options(  # noqa: PLR0913 — all by name, each an option of its own
        self,
        *,
        pool: PoolOption | Unset = UNSET,
        tags: Mapping[str, str] | Unset = UNSET,
        priority: int | Unset = UNSET,
        expected: float | None | Unset = UNSET,
        retry: Retry | None | Unset = UNSET,
        timeout: float | timedelta | None | Unset = UNSET,
        hooks: Hooks | None | Unset = UNSET,
        name: str | Unset = UNSET,
        map_key: Callable[[Any], str] | None | Unset = UNSET,
        window: int | Unset = UNSET,
    ) -> Self:
        """Returns a copy with changes: tags merge by key, all else replaces.

        Args:
            pool: `"db"`, `"api:customer-7"`, `{"db": 2}`, a function of the op's parameters returning one of these,
                or None for no pool.
            tags: Op tags; those of the same key replace.
            priority: Higher starts first.
            expected: How many seconds it will take, a hint for the order; None for no idea.
            retry: How often and when it is tried again; None follows the graph's `op_retry`.
            timeout: Seconds that the body of one attempt may take; None is no limit.
            hooks: What is told how it went.
            name: What its keys begin with, instead of the function's name.
            map_key: In an `each`, names the items by their value instead of by their index.
            window: In an `each` over a stream, how many items it may be ahead of those that are done; 64 otherwise.

        Raises:
            ConfigurationError: naming the option that does not fit.
        """
        options = self.definition.options.merged(
            pool=pool, tags=tags, priority=priority, expected=expected, retry=retry, timeout=timeout, hooks=hooks
        )
        return self._copy(
            definition=self.definition.changed(name=name, options=options),
            map_key=self.map_key if map_key is UNSET else check_map_key(map_key, who=self.name),
            window=self.window if window is UNSET else check_window(window, who=self.name),
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


class StreamOp(Op[P, R_co], Generic[P, R_co]):
    """An op whose function is an async generator: a source. A call of it is a list, whose items come one by one."""

    __slots__ = ()

    @property
    def fn(self: StreamOp[P, list[T]]) -> Callable[P, AsyncIterator[T]]:
        """The plain function, for unit tests."""
        function: Callable[P, AsyncIterator[T]] = plain(self)
        return function

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(
        self: Callable[Concatenate[S, Q], R], instance: S, owner: type[Any] | None = None
    ) -> StreamOp[Q, R]: ...
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


class OpDecorator(Protocol):
    """What `@op(…)` is: makes an op of a function."""

    @overload
    def __call__(self, fn: Callable[P, AsyncIterator[T]], /) -> StreamOp[P, list[T]]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]  # the first that fits is meant
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
def op(fn: Callable[P, AsyncIterator[T]], /) -> StreamOp[P, list[T]]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]  # the first that fits is meant
@overload
def op(fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncOp[P, R]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]  # the first that fits is meant
@overload
def op(fn: Callable[P, R], /) -> SyncOp[P, R]: ...
@overload
def op(
    *,
    runs_in: RunsIn,
    pool: PoolOption = None,
    tags: Mapping[str, str] | None = None,
    priority: int = 0,
    expected: float | None = None,
    retry: Retry | None = None,
    timeout: float | timedelta | None = None,
    hooks: Hooks | None = None,
) -> SyncOpDecorator: ...
@overload
def op(
    *,
    pool: PoolOption = None,
    tags: Mapping[str, str] | None = None,
    priority: int = 0,
    expected: float | None = None,
    retry: Retry | None = None,
    timeout: float | timedelta | None = None,
    hooks: Hooks | None = None,
) -> OpDecorator: ...
def op(  # noqa: PLR0913 — all by name, each an option of its own
    fn: Callable[..., Any] | None = None,
    /,
    *,
    runs_in: RunsIn | None = None,
    pool: PoolOption = None,
    tags: Mapping[str, str] | None = None,
    priority: int = 0,
    expected: float | None = None,
    retry: Retry | None = None,
    timeout: float | timedelta | None = None,
    hooks: Hooks | None = None,
) -> Any:
    """Makes an op of a function: a step of work that runs under limits.

    An `async def` runs on the event loop, a plain `def` on a thread. An `async def` that yields is a source: a call of
    it is the list of its items, and an `each` over it starts with the first. With or without parentheses; methods too.

    Args:
        fn: The function.
        runs_in: Where a plain `def` runs: `"thread"`, `"process"` (a worker process, which ends when the op is
            cancelled; the function stands at the top of a module, and what goes in and out is pickled), or an
            `OpRunner`.
        pool: Whose slots it takes: `"db"`, `"api:customer-7"`, `{"db": 2}`, or a function of the op's parameters (by
            name) returning one of these.
        tags: Op tags, for tag limits.
        priority: Higher starts first.
        expected: How many seconds it will take, a hint for the order.
        retry: How often and when it is tried again; None follows the graph's `op_retry`.
        timeout: Seconds that the body of one attempt may take; None is no limit.
        hooks: What is told how it went.

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
    options = OpOptions().merged(
        pool=pool,
        tags={} if tags is None else tags,
        priority=priority,
        expected=expected,
        retry=retry,
        timeout=timeout,
        hooks=hooks,
    )

    def decorate(function: Callable[..., Any]) -> Op[..., Any]:
        definition = define_op(function, options=options, runs_in=runs_in)
        if definition.mode == "stream":
            return StreamOp[..., Any](definition)
        return AsyncOp[..., Any](definition) if definition.mode == "async" else SyncOp[..., Any](definition)

    return decorate if fn is None else decorate(fn)
