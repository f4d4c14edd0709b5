"""`asyncflow run`: from what was written to a run, and from its end to what is printed."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from asyncflow.cli.exit_code import ExitCode
from asyncflow.cli.given import arguments_of, missing_of, read_inputs
from asyncflow.cli.lines import Lines
from asyncflow.cli.live import InPlace
from asyncflow.cli.session import Ended, carry_out
from asyncflow.cli.summary import as_document, tell, written_json, written_output
from asyncflow.cli.target import find_deployment, find_runnable
from asyncflow.cli.terminal import ProgressOption, error_console, is_live, write_result
from asyncflow.cli.watch import Hidden, View
from asyncflow.deployment import Deployment
from asyncflow.errors import ConfigurationError, InputError
from asyncflow.graph import Graph
from asyncflow.results import RunStatus
from asyncflow.typed_doors import Runnable


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What can be written behind `asyncflow run`; the texts are those of its `--help`.

    Args:
        input: An input, as often as needed: text or JSON, as its annotation wants it; key:=value is JSON in any case.
        inputs: A JSON or YAML file of inputs; - is JSON from stdin.
        deployment: The deployment to run in, instead of the graph's own or one without limits.
        concurrency: A YAML file with a concurrency: block, the limits of a deployment made for this run.
        store: Keep records of the run, and the results of its ops: sqlite:///runs.db.
        resume_from: Go on with a run that is in the store, with the same inputs: the id of the run.
        select: Run a part of the graph, as often as needed: a name, with * or + before it for what it needs, behind
            it for what needs it.
        max_concurrent: How many ops run at once.
        tag: A tag of the run, as often as needed.
        priority: The priority of the run in its deployment.
        json: Write one JSON document to stdout: status, output, ops, waits. What ops print goes to stderr.
        progress: In place (live), in lines (plain), or off; auto is live on a terminal, and plain elsewhere, in CI and
            with NO_COLOR.
        traceback: Show where errors were raised.
    """

    input: Annotated[
        tuple[str, ...],
        Parameter(name=["--input", "-i"], metavar="KEY=VALUE", negative=(), show_default=False),
    ] = ()
    inputs: Annotated[str | None, Parameter(metavar="FILE", allow_leading_hyphen=True)] = None
    deployment: Annotated[str | None, Parameter(metavar="MODULE:NAME")] = None
    concurrency: Annotated[str | None, Parameter(metavar="FILE")] = None
    store: Annotated[str | None, Parameter(metavar="URL")] = None
    resume_from: Annotated[str | None, Parameter(metavar="ID")] = None
    select: Annotated[tuple[str, ...], Parameter(metavar="CLAUSE", negative=(), show_default=False)] = ()
    max_concurrent: Annotated[int | None, Parameter(metavar="N")] = None
    tag: Annotated[tuple[str, ...], Parameter(metavar="KEY=VALUE", negative=(), show_default=False)] = ()
    priority: Annotated[int | None, Parameter(metavar="N")] = None
    json: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    progress: ProgressOption = "auto"
    traceback: Annotated[bool, Parameter(negative=(), show_default=False)] = False


def run(target: str, options: RunOptions) -> int:
    """Runs what is named, and returns the exit code.

    Raises:
        AsyncflowError: for all that is refused before a run exists.
    """
    with contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext():
        ended = _ended(target, options)
    result = ended.result
    width = shutil.get_terminal_size().columns
    if options.json:
        write_result(written_json(as_document(result)))
    elif result.status is RunStatus.SUCCEEDED:
        write_result(written_output(result.output, width=width))
    return ExitCode.of(result.status, caught=ended.caught)


def _ended(target: str, options: RunOptions) -> Ended:
    given = read_inputs(options.input, options.inputs)
    runnable = _tuned(find_runnable(target), target, options)
    deployment = _deployment(runnable, options)
    args, kwargs = arguments_of(runnable, given)
    missing = missing_of(runnable, given)
    if missing:
        raise InputError(f"{target} needs {', '.join(missing)}: --input {missing[0].partition('=')[0]}=…")
    console = error_console()
    view = _view(options, console)
    if options.resume_from is not None:
        tags, priority = runnable.run_options.tags, runnable.run_options.priority
        runnable = runnable.as_resumed(options.resume_from, tags=tags, priority=priority)
    ended = asyncio.run(carry_out(runnable, args, kwargs, deployment=deployment, view=view))
    if options.progress != "off" or options.traceback or ended.result.status is not RunStatus.SUCCEEDED:
        tell(console, ended.result, with_traceback=options.traceback)
    if deployment.keeper is not None and ended.result.status is not RunStatus.SUCCEEDED:
        console.print(f"to go on: --resume-from {ended.result.run_id}", markup=False, highlight=False, soft_wrap=True)
    return ended


def _tuned(runnable: Runnable[..., Any], target: str, options: RunOptions) -> Runnable[..., Any]:
    """Returns what is run with the options of the command line."""
    changes: dict[str, Any] = {}
    if options.max_concurrent is not None:
        changes["max_concurrent"] = options.max_concurrent
    if options.tag:
        changes["tags"] = dict(map(_tag, options.tag))
    if options.priority is not None:
        changes["priority"] = options.priority
    if not changes and not options.select:
        return runnable
    if not isinstance(runnable, Graph):
        written = [*changes, *(["select"] if options.select else [])]
        names = ", ".join(f"--{'tag' if name == 'tags' else name.replace('_', '-')}" for name in written)
        raise ConfigurationError(f"{target} is an op, and {names} belongs to graphs; write a graph that calls it")
    tuned: Graph[..., Any] = runnable.options(**changes)
    return tuned.select(*options.select) if options.select else tuned


def _tag(written: str) -> tuple[str, str]:
    key, sign, value = written.partition("=")
    if not sign or not key:
        raise ConfigurationError(f"--tag {written!r:.60} must be key=value")
    return key, value


def _deployment(runnable: Runnable[..., Any], options: RunOptions) -> Deployment:
    """Returns where it runs: as written, as bound, or by itself."""
    if options.deployment is not None and options.concurrency is not None:
        raise ConfigurationError("--deployment has limits of its own; leave --concurrency or --deployment out")
    named = options.deployment or (None if options.concurrency is not None else runnable.deployment)
    if options.store is not None and named is not None:
        raise ConfigurationError(
            "--store is for a deployment made for this run, and this one is the graph's or named:"
            " give that one its store in the code, Deployment(store=…)"
        )
    if options.deployment is not None:
        return find_deployment(options.deployment)
    if options.concurrency is not None:
        return Deployment.from_yaml(Path(options.concurrency), "command line", store=options.store)
    return runnable.deployment or Deployment("command line", store=options.store)


def _view(options: RunOptions, console: Console) -> View:
    if options.progress == "off":
        return Hidden()
    live = is_live() if options.progress == "auto" else options.progress == "live"
    return InPlace(console) if live else Lines(console)
