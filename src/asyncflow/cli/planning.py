"""`asyncflow plan`: what a graph will do, as text, Mermaid or SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from asyncflow.cli.exit_code import ExitCode
from asyncflow.cli.given import arguments_of, read_inputs
from asyncflow.cli.target import find_runnable
from asyncflow.cli.terminal import message_of, write_result
from asyncflow.errors import AsyncflowError, ConfigurationError
from asyncflow.graph import Graph

_ENDINGS: Final = {".svg": "svg", ".mmd": "mermaid", ".mermaid": "mermaid"}


def plan(
    target: str,
    written: Sequence[str],
    file: str | None,
    *,
    select: Sequence[str],
    form: Literal["text", "mermaid", "svg"] | None,
    output: Path | None,
) -> int:
    """Writes the plan of a graph, and returns the exit code.

    Raises:
        AsyncflowError: for all that stands in the way of a plan.
    """
    graph = find_runnable(target)
    if not isinstance(graph, Graph):
        raise ConfigurationError(f"{target} is an op, and only graphs have a plan; asyncflow run runs it")
    args, kwargs = arguments_of(graph, read_inputs(written, file))
    try:
        made = (graph.select(*select) if select else graph).plan(*args, **kwargs)
    except AsyncflowError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"{graph.name} could not be wired: {type(error).__name__}: {message_of(error)}"
        ) from error
    chosen = form or ("text" if output is None else _ENDINGS.get(output.suffix.lower(), "text"))
    text = {"text": made.text, "mermaid": made.mermaid, "svg": made.svg}[chosen]()
    if output is None:
        write_result(text if text.endswith("\n") else f"{text}\n")
        return ExitCode.SUCCEEDED
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written: {error.strerror or type(error).__name__}") from error
    return ExitCode.SUCCEEDED
