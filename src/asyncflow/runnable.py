"""What the doors hand in: an op or a graph with its options."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from asyncflow.options import RunOptions

if TYPE_CHECKING:
    from asyncflow._plan import Plan
    from asyncflow.deployment import Deployment

R_co = TypeVar("R_co", covariant=True)


class Submittable(Protocol[R_co]):
    """An op or a graph, with its options."""

    @property
    def deployment(self) -> Deployment | None:
        """The deployment it is bound to."""
        ...

    @property
    def run_options(self) -> RunOptions:
        """How its runs are limited and ordered."""
        ...

    @property
    def single(self) -> bool:
        """True for an op: alone it raises its own exception."""
        ...

    def on(self, deployment: Deployment) -> Self:
        """Returns a copy whose runs belong to `deployment`."""
        ...

    @property
    def wire_name(self) -> str:
        """The name of its runs in records."""
        ...

    def as_resumed(self, run_id: str, *, tags: Mapping[str, str], priority: int) -> Self:
        """Returns a copy whose runs go on from a run in a store."""
        ...

    def start(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 — a `Run`, which stands above
        """Starts a run."""
        ...

    def wire(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, deployment: object = None) -> Plan:
        """Returns the plan for these inputs."""
        ...

    def input_values(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        """Returns the values of the plan's inputs, in their order."""
        ...

    def run(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, R_co]:
        """Runs it and returns the value."""
        ...
