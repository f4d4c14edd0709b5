"""The commands, and how what goes wrong is told: a line on stderr, an exit code, a traceback where it is asked for."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter
from rich.text import Text

import asyncflow
from asyncflow.cli import demo as demonstration
from asyncflow.cli import planning, pools_command, running
from asyncflow.cli.exit_code import ExitCode
from asyncflow.cli.running import RunOptions
from asyncflow.cli.summary import written_json
from asyncflow.cli.terminal import error_console, make_safe, shown, write_result
from asyncflow.errors import AsyncflowError, BadRequest, PoolBackendError, RunRejected

app = App(
    name="asyncflow",
    help="Run graphs of Python functions under limits.",
    version=asyncflow.__version__,
    help_format="plaintext",
    result_action="return_value",
    group_parameters="Options",
    help_epilogue=(
        "Exit codes: 0 succeeded, 1 failed, 2 nothing was started, 3 canceled or refused, 130 Ctrl-C, 143 SIGTERM."
    ),
)


@app.command
def run(target: str, /, options: RunOptions | None = None) -> int:
    """Run a graph or an op.

    Progress goes to stderr, the result to stdout.

    Ctrl-C cancels the run and waits for its clean-up; once more leaves at once.

    Args:
        target: What to run: module:graph, or path/to/file.py:graph.
        options: What may be written behind it.
    """
    return running.run(target, options or RunOptions())


@app.command
def plan(
    target: str,
    /,
    *,
    input: Annotated[  # noqa: A002 — the name of the option
        tuple[str, ...],
        Parameter(name=["--input", "-i"], metavar="KEY=VALUE", negative=(), show_default=False),
    ] = (),
    inputs: Annotated[str | None, Parameter(metavar="FILE", allow_leading_hyphen=True)] = None,
    select: Annotated[tuple[str, ...], Parameter(metavar="CLAUSE", negative=(), show_default=False)] = (),
    format: Annotated[  # noqa: A002 — the name of the option
        Literal["text", "mermaid", "svg"] | None, Parameter(metavar="FORMAT")
    ] = None,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"], metavar="FILE")] = None,
    traceback: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
) -> int:
    """Show what a graph will do, without running it.

    Args:
        target: The graph: module:graph, or path/to/file.py:graph.
        input: An input, as often as needed; key:=value for JSON. Missing ones are left open.
        inputs: A JSON or YAML file of inputs; - is JSON from stdin.
        select: Show a part of the graph, as often as needed: a name, with * or + before or behind it.
        format: How it is written; by default as the name of the output file ends, else as text.
        output: The file to write, instead of stdout.
        traceback: Show where an error was raised.
    """
    del traceback  # read off the command line, since errors are told outside
    return planning.plan(target, input, inputs, select=select, form=format, output=output)


@app.command
def demo(
    *,
    out: Annotated[Path, Parameter(metavar="FOLDER")] = Path("out/stdlib-index"),
    limit: Annotated[int | None, Parameter(metavar="N")] = None,
    plain: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
) -> int:
    """Index the standard library of this Python under limits: the example of the documentation.

    Args:
        out: The folder for the index, a report and a picture.
        limit: Index only so many files, evenly spread over all.
        plain: Progress as plain lines, also on a terminal.
    """
    return demonstration.demo(out, limit, plain=plain)


app.command(pools_command.app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    make_safe()
    try:
        code = app(given, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        command = next((f" {name}" for name in given if name in {"run", "plan", "demo", "pools"}), "")
        return _refuse(given, error, ExitCode.NOT_STARTED, hint=f"asyncflow{command} --help")
    except RunRejected as error:
        return _refuse(given, error, ExitCode.CANCELED)
    except PoolBackendError as error:
        pools = given[:1] == ["pools"] and not isinstance(error, BadRequest)
        return _refuse(given, error, ExitCode.CANCELED if pools else ExitCode.NOT_STARTED)
    except AsyncflowError as error:
        return _refuse(given, error, ExitCode.NOT_STARTED)
    except KeyboardInterrupt:
        error_console().print("interrupted")
        return ExitCode.INTERRUPTED
    return code if isinstance(code, int) else ExitCode.SUCCEEDED


def _refuse(given: Sequence[str], error: Exception, code: ExitCode, *, hint: str = "") -> int:
    """Tells what was refused, and returns the exit code."""
    console = error_console()
    message = shown(str(error))
    if "--json" in given:
        status = "CANCELED" if code is ExitCode.CANCELED else None
        write_result(written_json({"status": status, "error": {"type": type(error).__name__, "message": message}}))
    if "--traceback" in given:
        console.print(Text("".join(traceback.format_exception(error)).rstrip()))
    console.print(Text.assemble(("error: ", "bold red"), message))
    if hint:
        console.print(Text(f"{hint} tells what can be written", style="dim"))
    return code
