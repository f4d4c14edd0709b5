"""What a deployment keeps of its runs: their records, the values of their ops, and going on from them."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar, cast, overload

from asyncflow import _executor as executor
from asyncflow._authoring import Callee, OpDefinition
from asyncflow._executor import Past, RunRecorder
from asyncflow._plan import Plan
from asyncflow._store import Keeper, Kept, Line, OpFilter, RunFilter, UnfitError, codec_of
from asyncflow.done import Done
from asyncflow.errors import ConfigurationError, InputError
from asyncflow.records import OpRecord, RunRecord
from asyncflow.results import OpStatus, RunStatus
from asyncflow.run import Run
from asyncflow.runnable import Submittable
from asyncflow.tunable_deployment import TunableDeployment

R = TypeVar("R")
S = TypeVar("S", RunStatus, OpStatus)

MOST: Final = 10_000
"""Records on one page."""


class KeptRuns(TunableDeployment):
    """What `Deployment` and its branches have in common as far as a store is concerned."""

    _keeper: Keeper | None = None

    @property
    def keeper(self) -> Keeper | None:
        """What writes to the store; None where there is none. Doors use it."""
        return self._keeper

    # ── looking ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def runs(
        self,
        *,
        graph: str | None = None,
        status: RunStatus | Iterable[RunStatus] | None = None,
        tags: Mapping[str, str] | None = None,
        run_id: str | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> tuple[RunRecord, ...]:
        """Returns the records of runs of this deployment, newest first. Cancelled, it changes nothing.

        Args:
            graph: Only runs of the graph or op of this name.
            status: Only runs that stand there.
            tags: Only runs that carry all of these.
            run_id: Only this run.
            before: Only runs older than the one of this id: the last of a page gives the next page.
            limit: How many at most.

        Raises:
            ConfigurationError: where the deployment has no store, or for a limit it cannot mean.
            StoreUnavailable: where it cannot be read.
        """
        wanted = () if tags is None else tuple(tags.items())
        chosen = RunFilter(self.name, graph, _several(status, RunStatus), wanted, run_id, before, _page(limit))
        async with self.store_open() as line:
            return tuple(await executor.outlasted(line.ask(lambda session: session.runs(chosen))))

    async def ops(
        self,
        run_id: str,
        *,
        status: OpStatus | Iterable[OpStatus] | None = None,
        key: str | None = None,
        after: str | None = None,
        limit: int = 1000,
    ) -> tuple[OpRecord, ...]:
        """Returns the records of ops of a run, in the order in which they ended. Cancelled, it changes nothing.

        Args:
            run_id: The run.
            status: Only ops that ended so.
            key: Only the op of this key.
            after: Only ops that ended after the one of this key: the last of a page gives the next page.
            limit: How many at most.

        Raises:
            ConfigurationError: where the deployment has no store, or for a limit it cannot mean.
            StoreUnavailable: where it cannot be read.
        """
        chosen = OpFilter(run_id, _several(status, OpStatus), key, after, _page(limit))
        async with self.store_open() as line:
            return tuple(await executor.outlasted(line.ask(lambda session: session.ops(chosen))))

    async def outputs(
        self, graph: Submittable[Any], /, *args: Any, run_id: str | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Returns results of ops that are in the store, by key: of a selection, those it leaves out and needs.

        `await part.given(await prod.outputs(part)).on(prod).run()` runs a part of a graph on what was made before.

        Args:
            graph: The graph, or a part of it: `warehouse.select("report")`.
            args: Its inputs, as far as its plan depends on them.
            run_id: The run they come from; by default, for each key the newest one that has it.
            kwargs: Its inputs by name.

        Returns:
            The results that are there, as the annotations of the ops say; of an `each`, the list.

        Raises:
            ConfigurationError: where the deployment has no store.
            StoreUnavailable: where it cannot be read.
            InputError: where what is there does not fit the annotation of its op any more.
        """
        wanted, ops = executor.stored_keys(graph, args, kwargs)
        name = graph.wire_name
        found: dict[str, Any] = {}
        async with self.store_open() as line:
            for key in wanted:
                one = ops.get(key) or ops.get(f"{key}[]")
                if one is None:
                    continue
                question = executor.Question(name, self.name, run_id, key, many=key not in ops)
                texts = await executor.outlasted(line.ask(question))
                if texts is not None:
                    values = [_read(one, text, key) for text in texts]
                    found[key] = values[0] if key in ops else values
        return found

    # ── going on ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @overload
    def resume(self, run_id: str) -> Run[Any]: ...
    @overload
    def resume(self, *, pool: str | None = None) -> Done: ...
    def resume(self, run_id: str | None = None, *, pool: str | None = None) -> Any:
        """Goes on with a run that is in the store, or lets start again what was paused.

        With `run_id` it starts a new run that does not repeat what succeeded, with the inputs, tags and priority of
        that run; the deployment must be open, and the module that defines the graph imported. Without, see `pause`.

        Args:
            run_id: The run to go on with.
            pool: The pool that was paused; None for the queue.

        Raises:
            ConfigurationError: where there is no store, no such run, or its graph cannot be found.
            InputError: where its inputs are not all in the record; give them yourself, with `resume_from=run_id`.
        """
        if run_id is None:
            return super().resume(pool=pool)
        if pool is not None:
            raise ConfigurationError("resume takes a run id, or a pool, not both")
        past = self.recall_now(run_id)
        began = past.kept.run
        callee = _found(json.loads(began.target), run_id)
        args, kwargs = executor.read_inputs(cast("Callee", callee).definition, json.loads(began.inputs))
        again = callee.as_resumed(run_id, tags=json.loads(began.tags), priority=began.priority)
        return again.on(cast("Any", self)).start(*args, **kwargs)

    async def recall(self, resume_from: object) -> Past | None:
        """Returns what a run can go on from, where that is in the store. Doors use it."""
        run_id = executor.stored_run(resume_from)
        if run_id is None:
            return None
        line = self._line()
        return self._past(run_id, line, await executor.outlasted(line.ask(lambda session: session.kept(run_id))))

    def recall_now(self, resume_from: object) -> Past:
        """Likewise where nothing can be awaited; the loop waits for the store."""
        run_id = str(executor.stored_run(resume_from))
        line = self._line()
        return self._past(run_id, line, line.ask_now(lambda session: session.kept(run_id)))

    def recorder(
        self, callee: Submittable[Any], plan: Plan, args: tuple[Any, ...], kwargs: Mapping[str, Any], past: Past | None
    ) -> RunRecorder:
        """Returns what tells the store of a run that is about to begin. Doors use it.

        Raises:
            PlanError: where it goes on from a run that was wired otherwise.
            InputError: where the inputs differ from that run's.
            ResultNotStorable: where the annotation of an op says that nothing it gives can be kept.
        """
        line = self._line()
        one = cast("Callee", callee)
        began = executor.run_began(one, plan, args, kwargs, store=self._name_of_store())
        if past is not None:
            executor.refuse_other(one, began, past, executor.values_of(one, args, kwargs))
            began = replace(began, resumed_from=past.run_id)
        else:
            began = replace(began, resumed_from=executor.same_store_run(callee.run_options.resume_from, line))
        return RunRecorder(line, began, past)

    @contextlib.asynccontextmanager
    async def store_open(self) -> AsyncGenerator[Line]:
        """Holds the store open for a block. Doors use it."""
        keeper = self.keeper
        if keeper is None:
            raise ConfigurationError(
                f"deployment {self.name!r} has no store: Deployment({self.name!r}, store='sqlite:///runs.db')"
            )
        line = await keeper.enter()
        try:
            yield line
        finally:
            await keeper.leave()

    def _name_of_store(self) -> str:
        return "" if self.keeper is None else self.keeper.store.name

    def _line(self) -> Line:
        if self.keeper is None:
            raise ConfigurationError(
                f"deployment {self.name!r} has no store, so there is no run to go on from by its id; give it one:"
                f" Deployment({self.name!r}, store='sqlite:///runs.db')"
            )
        self.engine_here()  # refuses where no loop runs
        line = self.keeper.line
        if line is None:
            raise ConfigurationError(
                f"the store of deployment {self.name!r} is not open here; write `async with deployment:` around it"
            )
        return line

    def _past(self, run_id: str, line: Line, kept: Kept | None) -> Past:
        if kept is None:
            raise ConfigurationError(
                f"resume_from: the store {self._name_of_store()} has no run {run_id!r:.60}; `await deployment.runs()`"
                " lists those it has"
            )
        if run_id in self.engine_here().runs:
            raise ConfigurationError(
                f"resume_from: run {run_id} of {kept.run.graph} still runs here; wait for its end, or cancel it"
            )
        return Past(line, kept, self._name_of_store())


def _several(chosen: S | Iterable[S] | None, kind: type[S]) -> tuple[S, ...]:
    if chosen is None:
        return ()
    several: tuple[object, ...] = (chosen,) if isinstance(chosen, kind) else tuple(cast("Iterable[object]", chosen))
    for one in several:
        if not isinstance(one, kind):
            raise ConfigurationError(f"status must be a {kind.__name__}, or several of them, got {one!r:.40}")
    return cast("tuple[S, ...]", several)


def _page(limit: object) -> int:
    if type(limit) is not int or not 1 <= limit <= MOST:
        raise ConfigurationError(f"limit must be a whole number from 1 to {MOST:,}, got {limit!r:.40}")
    return limit


def _read(op: OpDefinition, text: str, key: str) -> Any:  # noqa: ANN401 — the user's value
    try:
        return codec_of(op).read(text)
    except UnfitError as unfit:
        raise InputError(f"the result of {key} cannot be taken from the store: {unfit}; run it again") from None


def _found(target: Mapping[str, Any], run_id: str) -> Submittable[Any]:
    """Returns the graph or op of a record, among what is imported.

    Raises:
        ConfigurationError: where it is not there.
    """
    advice = f"resume it yourself: graph.options(resume_from={run_id!r}).on(deployment).start(…)"
    name, module = target["name"], target["module"]
    if target["bound"] or target["given"]:
        what = "a method, whose object" if target["bound"] else "a part of a graph, whose given values"
        raise ConfigurationError(f"run {run_id} was of {name}, {what} no record has; {advice}")
    known = sys.modules.get(module)
    if known is None:
        raise ConfigurationError(
            f"run {run_id} was of {name} in the module {module!r:.100}, which is not imported; import it, or {advice}"
        )
    callee = _named(known, target)
    if callee is None:
        raise ConfigurationError(
            f"run {run_id} was of {name}, and {module} has no such graph at its top level; {advice}"
        )
    graph: Any = callee
    if target["clauses"]:
        graph = graph.select(*[_clause(*clause) for clause in target["clauses"]])
    found: Submittable[Any] = graph
    return found


def _named(module: object, target: Mapping[str, Any]) -> Callee | None:
    one: Any = module
    for part in target["qualname"].split("."):
        one = getattr(one, part, None)
    if isinstance(one, Callee) and one.definition.name == target["name"]:
        return one
    found = {
        other.definition.fn: other
        for other in vars(module).values()
        if isinstance(other, Callee)
        and other.definition.name == target["name"]
        and getattr(other.definition.fn, "__qualname__", "") == target["qualname"]
    }
    return next(iter(found.values())) if len(found) == 1 else None


def _clause(name: str, before: int | None, behind: int | None) -> str:
    if not name:
        return "*"
    return f"{_sign(before)}{name}{_sign(behind)}"


def _sign(layers: int | None) -> str:
    return "*" if layers is None else "+" * layers
