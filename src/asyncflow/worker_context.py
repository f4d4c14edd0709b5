"""`context()` in a worker process: the same answers, told through the pipe."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from asyncflow._observers import logger
from asyncflow.errors import ConfigurationError
from asyncflow.ids import check_name
from asyncflow.op_context import OpContext

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from asyncflow._workers import RemoteCall


class WorkerOpContext(OpContext):
    """The op whose function runs in this worker process."""

    __slots__ = ("_call",)

    def __init__(self, call: RemoteCall) -> None:  # pyright: ignore[reportMissingSuperCall]  # there is no claim here
        self._call = call
        self._log = None
        self.run_id = call.run_id
        self.key = call.key
        self.attempt = call.attempt

    @property
    def map_key(self) -> str | None:
        """The name of the item, where it is an item of an `each`; the innermost one where they are nested."""
        return self._call.map_key

    @property
    def tags(self) -> Mapping[str, str]:
        """The op's tags."""
        return MappingProxyType(dict(self._call.tags))

    @property
    def run_tags(self) -> Mapping[str, str]:
        """The run's tags."""
        return MappingProxyType(dict(self._call.run_tags))

    @property
    def log(self) -> FilteringBoundLogger:
        """A structlog logger of this process, with run, graph, op and attempt bound."""
        if self._log is None:
            about = {"run_id": self.run_id, "graph": self._call.graph, "op": self.key, "attempt": self.attempt}
            if self.map_key is not None:
                about["map_key"] = self.map_key
            self._log = logger().bind(**about)
        return self._log

    def progress(self, done: float, total: float | None = None) -> None:
        """Tells the parent how far the op is, as the event `OpProgress`.

        Raises:
            ConfigurationError: for what are no numbers.
        """
        self._refuse_no_number("done", done)
        if total is not None:
            self._refuse_no_number("total", total)
        self._send("progress", (done, total), {})

    def emit(self, kind: str, **data: Any) -> None:
        """Tells the parent something of your own, as the event `OpEmitted`; the data must be picklable.

        Raises:
            ConfigurationError: for a kind that is no name.
        """
        self._send("emit", (check_name(kind, field=f"the kind that {self.key} emits"),), data)

    async def release(self, pool: str) -> None:
        """Not from a worker process: what the op holds is its parent's.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            f"{self.key} runs in a worker process, which cannot give back slots of {pool!r}; split the op in two"
        )

    def _send(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._call.tell is not None:
            self._call.tell(method, args, kwargs)

    def __repr__(self) -> str:
        return f"<context of {self._call.graph}/{self.key}, attempt {self.attempt}, in a worker process>"
