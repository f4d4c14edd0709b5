"""What ops and graphs have in common: five doors, typed from one signature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, ParamSpec, Self, TypeVar

from asyncflow._authoring import Callee, OpDefinition, SettledCallee, call_settled
from asyncflow._plan import Plan
from asyncflow.deployment import Deployment
from asyncflow.doors import run_result, run_value, start_run
from asyncflow.errors import ConfigurationError
from asyncflow.options import RunOptions
from asyncflow.results import Outcome, RunResult
from asyncflow.run import Run

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


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

    def as_resumed(self, run_id: str, *, tags: Mapping[str, str], priority: int) -> Self:
        """Returns a copy whose runs go on from a run in a store. Doors use it."""
        return self._copy(run_options=self.run_options.merged(resume_from=run_id, tags=tags, priority=priority))

    @property
    def wire_name(self) -> str:
        """The name of its runs in records."""
        return self.definition.name

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
